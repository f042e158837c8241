"""Attention of prompts and beams over one cache: the same as plain attention over every sequence by itself."""

from __future__ import annotations

import pytest
import torch

from recommender.inference import attention
from recommender.inference.attention import BeamAttention, Group, PromptAttention, PromptCache

HEADS, KEY_HEADS, WIDTH = 4, 2, 8
SCALE = WIDTH**-0.5


def projections(positions, seed=0):
    """Queries, keys and values of packed positions."""
    torch.manual_seed(seed)
    return (torch.randn(positions, heads, WIDTH) for heads in (HEADS, KEY_HEADS, KEY_HEADS))


def expected(q, k, v, causal=True):
    """Plain attention of one sequence [positions, heads, width], by torch."""
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    return out[0].transpose(0, 1)


GROUPS = (Group(0, 2, 3), Group(6, 1, 5))
SEQUENCES = (slice(0, 3), slice(3, 6), slice(6, 11))


@pytest.mark.parametrize("block_bytes", [8, 256])
def test_each_prompt_attends_to_itself_alone(monkeypatch, block_bytes):
    monkeypatch.setattr(attention, "BLOCK_BYTES", block_bytes)  # blocks of two positions, and one of all
    q, k, v = projections(11)
    out = PromptAttention(PromptCache(GROUPS))(0, q, k, v, SCALE)
    for part in SEQUENCES:
        torch.testing.assert_close(out[part], expected(q[part], k[part], v[part]))


def test_the_last_positions_are_those_of_the_whole():
    q, k, v = projections(11)
    whole = PromptAttention(PromptCache(GROUPS))(0, q, k, v, SCALE)
    ends = torch.tensor([2, 5, 10])
    torch.testing.assert_close(PromptAttention(PromptCache(GROUPS))(0, q[ends], k, v, SCALE, last=True), whole[ends])


def test_an_instruction_is_read_by_all_prompts():
    q, k, v = projections(11)
    _, prefix_k, prefix_v = projections(4, seed=1)
    cache = PromptCache(GROUPS, [(prefix_k.transpose(0, 1), prefix_v.transpose(0, 1))])
    out = PromptAttention(cache)(0, q, k, v, SCALE)
    for part in SEQUENCES:
        padded = torch.cat([torch.zeros(4, HEADS, WIDTH), q[part]])
        whole = expected(padded, torch.cat([prefix_k, k[part]]), torch.cat([prefix_v, v[part]]))
        torch.testing.assert_close(out[part], whole[4:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_beams_follow_their_parents(dtype):
    q, k, v = (x.to(dtype) for x in projections(11))
    cache = PromptCache(GROUPS)
    PromptAttention(cache)(0, q, k, v, SCALE)
    beams = BeamAttention(cache)
    parents = torch.tensor([[0, 0], [0, 0], [0, 0]]), torch.tensor([[1, 1], [0, 1], [1, 0]])
    own = []
    for step, chosen in enumerate(parents):
        beams.follow(chosen)
        queries, keys, values = (x.to(dtype) for x in projections(6, seed=step + 5))
        own.append((keys, values))
        out = beams(0, queries, keys, values, SCALE)
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    for prompt, part in enumerate(SEQUENCES):
        for beam in range(2):
            rows = [prompt * 2 + int(parents[1][prompt, beam]), prompt * 2 + beam]
            path_k = torch.stack([own[step][0][row] for step, row in enumerate(rows)])
            path_v = torch.stack([own[step][1][row] for step, row in enumerate(rows)])
            at = prompt * 2 + beam
            keys, values = torch.cat([k[part], path_k]), torch.cat([v[part], path_v])
            plain = expected(queries[at : at + 1].float(), keys.float(), values.float(), causal=False)
            torch.testing.assert_close(out[at].float(), plain[0], atol=tolerance, rtol=tolerance)


def test_padding_is_never_attended_to():
    q, k, v = projections(6)
    lengths = torch.tensor([3, 2])
    groups = (Group(0, 2, 3, lengths),)
    ends = torch.tensor([2, 4])
    out = PromptAttention(PromptCache(groups))(0, q[ends], k, v, SCALE, last=True)
    torch.testing.assert_close(out[1], expected(q[3:5], k[3:5], v[3:5])[1])
    k[5] += 100  # the padded position of the second prompt
    torch.testing.assert_close(PromptAttention(PromptCache(groups))(0, q[ends], k, v, SCALE, last=True), out)
    assert PromptCache(groups).visible(groups[0], 5)[:, 0, 0].tolist() == [[True] * 5, [True] * 4 + [False]]
