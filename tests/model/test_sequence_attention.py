"""Sequences of their own lengths attend as the mask of packed rows says; examples with branches are no sequences."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from recommender.model.sequence_attention import attend_sequences, by_mask, is_usable
from recommender.prompting.packing import collate
from recommender.prompting.sequences import sequences_of


@pytest.mark.parametrize("prefixed", [True, False])
def test_they_attend_as_the_mask_says(make_checkpoint, prefixed):
    builder = make_checkpoint().builder
    rows = [
        [builder.ranking([3, 1, 4], known=1), builder.ranking([5, 9, 2, 6, 5])],
        [builder.ranking([7, 8]), builder.prompt([1, 2, 3, 4])],
    ]
    if not prefixed:
        rows.append([builder.writing("red", "blue")])
    prefix = builder.prefix if prefixed else builder.prefix[:0]
    batch = collate(rows, prefix if prefixed else None)
    length = batch.tokens.shape[1]
    sequences = sequences_of(rows, len(prefix), length)
    assert sequences is not None
    torch.manual_seed(0)
    query = torch.randn(len(rows), 4, length, 8, requires_grad=True)
    key, value = (torch.randn(len(rows), 2, length, 8, requires_grad=True) for _ in range(2))
    found = attend_sequences(query, key, value, sequences, 0.3, by_mask)
    expected = scaled_dot_product_attention(query, key, value, batch.mask.whole, scale=0.3, enable_gqa=True).transpose(
        1, 2
    )
    inside = torch.zeros(batch.tokens.shape, dtype=torch.bool)
    for row, examples in enumerate(rows):
        inside[row, : len(prefix) + sum(map(len, examples))] = True
    torch.testing.assert_close(found[inside], expected[inside])
    weights = torch.randn(found[inside].shape)
    gradients = [torch.autograd.grad((x[inside] * weights).sum(), (query, key, value)) for x in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_example_that_stands_alone_does_not_see_the_instruction_of_others(make_checkpoint):
    builder = make_checkpoint().builder
    queried = builder.queried([3, 7, 1], "red", torch.ones(3, dtype=torch.bool).numpy())
    assert queried.alone
    rows = [[builder.ranking([4, 2]), queried]]
    batch = collate(rows, builder.prefix)
    sequences = sequences_of(rows, len(builder.prefix), batch.tokens.shape[1])
    query, key, value = (torch.randn(1, 2, batch.tokens.shape[1], 8) for _ in range(3))
    found = attend_sequences(query, key, value, sequences, 0.3, by_mask)
    torch.testing.assert_close(
        found, scaled_dot_product_attention(query, key, value, batch.mask.whole, scale=0.3).transpose(1, 2)
    )


def test_branches_are_no_sequences(make_checkpoint):
    builder = make_checkpoint(3).builder
    assert sequences_of([[builder.ranking([3, 1, 4])]], len(builder.prefix), 99) is None


def test_without_a_gpu_the_kernel_is_not_asked():
    assert not is_usable(torch.device("cpu"), torch.bfloat16, 4, 2, 8)
