"""Packed attention: cut into blocks or whole, a row of examples reads the same and teaches the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recommender.model import block_attention
from recommender.model.block_attention import AttentionBlocks, attend, row_arguments
from recommender.prompting.packing import GROUP, collate
from recommender.prompting.row_mask import RowMask
from recommender.training.validation import rank_histories


def rows(builder, levels):
    """Rows of different lengths: many short examples, a long one with spelled-out items, one that stands alone."""
    short = [builder.ranking([3, 1, 4], begins=False) for _ in range(30)]
    long = builder.ranking(list(range(12)) * 12, known=4)
    return [[*short[:20], long, *short[20:]], [long, builder.finding(3)], [replace(short[0], alone=True), *short[:2]]]


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("prefixed", [True, False])
def test_blocks_give_the_loss_and_the_gradients_of_whole_rows(make_checkpoint, levels, prefixed):
    checkpoint = make_checkpoint(levels)
    model, builder = checkpoint.model.eval(), checkpoint.builder
    batch = collate(rows(builder, levels), builder.prefix if prefixed else None)
    assert max(map(len, batch.ends)) > 3
    found = []
    for one in (batch, replace(batch, ends=())):
        model.zero_grad()
        loss, count = model(one)
        (loss / count).backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        found.append((loss.detach(), gradients))
    (loss, gradients), (whole, expected) = found
    torch.testing.assert_close(loss, whole, rtol=1e-5, atol=1e-4)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-6)


def test_groups_end_where_examples_do_and_cover_each_row(make_checkpoint):
    builder = make_checkpoint().builder
    laid = rows(builder, 1)
    batch = collate(laid, builder.prefix)
    for row, ends in zip(laid, batch.ends, strict=True):
        interaction_ids = [len(builder.prefix)]
        for example in row:
            interaction_ids.append(interaction_ids[-1] + len(example))
        assert ends[0] == len(builder.prefix) and ends[-1] == batch.tokens.shape[1]
        assert set(ends) <= {*interaction_ids, batch.tokens.shape[1]} and sorted(set(ends)) == list(ends)
        longest = max(map(len, row))
        widths = [b - a for a, b in zip(ends, ends[1:], strict=False)]
        assert all(width <= max(GROUP, longest) for width in widths[: len(widths) - (interaction_ids[-1] < ends[-1])])


def mask_of(segments: list[int]) -> RowMask:
    """Return the mask of one row without branches."""
    row = torch.tensor([segments])
    return RowMask(row, torch.arange(len(segments))[None], torch.zeros_like(row))


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("prefixed", [True, False])
def test_blocks_are_what_would_be_cut_out_of_the_whole_mask(make_checkpoint, levels, prefixed):
    builder = make_checkpoint(levels).builder
    batch = collate(rows(builder, levels), builder.prefix if prefixed else None)
    cut = AttentionBlocks.cut(batch.mask, batch.ends, torch.bfloat16, batch.positions)
    assert "whole" not in vars(batch.mask)
    assert len(cut.blocks) > 6
    for block in cut.blocks:
        expected = batch.mask.whole[block.row, :, block.start : block.stop]
        keys = [*range(cut.prefix if block.start else 0), *range(block.start, block.stop)]
        assert torch.equal(block.bias, torch.zeros(1).bfloat16().where(expected[..., keys], -torch.inf))
    assert sum(block.stop - block.start for block in cut.blocks) == batch.tokens.numel()


def test_no_step_draws_the_whole_mask_on_a_cpu(make_checkpoint):
    checkpoint = make_checkpoint()
    batch = collate(rows(checkpoint.builder, 1), checkpoint.builder.prefix)
    loss, _ = checkpoint.model.train()(batch)
    loss.backward()
    assert "whole" not in vars(batch.mask)


@pytest.mark.parametrize("ends", [[(2, 4, 6)], ()])
def test_a_layer_that_hands_no_keywords_on_attends_the_same_also_when_it_is_computed_again(ends):
    query, key, value = (torch.randn(1, 1, 6, 4) for _ in range(3))
    mask = mask_of([0, 0, 1, 1, 2, 2])
    arguments = row_arguments(torch.arange(6)[None], mask, ends, torch.float32)
    assert ("blocks" in arguments) == bool(ends)
    module = torch.nn.Module()
    found, _ = attend(module, query, key, value, arguments["attention_mask"])
    torch.testing.assert_close(found, attend(module, query, key, value, mask.whole)[0])


def test_nothing_reaches_across_blocks():
    torch.manual_seed(0)
    mask = mask_of([0, 0, 1, 1, 2, 2])  # two examples of two positions behind an instruction of two
    query, key, value = (torch.randn(1, heads, 6, 4) for heads in (4, 2, 2))
    module = torch.nn.Module()
    module.num_key_value_groups = 2
    whole, _ = attend(module, query, key, value, mask.whole)
    blocks = AttentionBlocks.cut(mask, [(2, 4, 6)], torch.float32)
    cut, _ = attend(module, query, key, value, None, blocks=blocks)
    torch.testing.assert_close(cut, whole)
    value[:, :, 2:4] += 1
    moved, _ = attend(module, query, key, value, None, blocks=blocks)
    assert torch.equal(moved[:, 4:], cut[:, 4:]) and not torch.equal(moved[:, 2:4], cut[:, 2:4])


def test_a_model_that_drops_attention_reads_whole_rows():
    arguments = row_arguments(torch.arange(4)[None], mask_of([0, 0, 1, 1]), [(2, 4)], torch.float32)
    query, key, value = (torch.randn(1, 1, 4, 4) for _ in range(3))
    outcomes = [attend(torch.nn.Module(), query, key, value, dropout=0.9, **arguments)[0] for _ in range(5)]
    assert all((outcome[:, 0] == 0).logical_or(outcome[:, 0] == 10 * value[:, :, 0]).all() for outcome in outcomes)
    assert not all(torch.equal(outcomes[0], other) for other in outcomes[1:])


def test_rows_are_cut_before_and_after_a_validation(make_checkpoint, histories, monkeypatch):
    checkpoint, calls = make_checkpoint(), []
    model, plain = checkpoint.model, block_attention._attend_block
    monkeypatch.setattr(block_attention, "_attend_block", lambda *parts: calls.append(parts) or plain(*parts))
    batch = collate(rows(checkpoint.builder, 1), checkpoint.builder.prefix)
    model.train()(batch)
    before = len(calls)
    rank_histories(model.eval(), checkpoint.builder, histories[:2], 5, 5)
    assert before > 0 and len(calls) == before  # ranking has an attention of its own
    model.train()(batch)
    assert len(calls) == 2 * before
