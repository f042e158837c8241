"""Windows, caps and sinks: prompts, beams and texts attend as plain formulas over every sequence by itself do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from recommender.inference.attention import BeamAttention, Group, PromptAttention, PromptCache
from recommender.inference.text_generation import TextGeneration
from recommender.model.attention_traits import Traits
from tests.inference.test_attention import HEADS, SCALE, SEQUENCES, projections

KINDS = {
    "window": Traits(window=2),
    "cap": Traits(softcap=0.7),
    "sinks": Traits(sinks=torch.tensor([0.5, -1.0, 2.0, 0.0])),
    "all": Traits(3, 0.7, torch.tensor([0.5, -1.0, 2.0, 0.0])),
}
GROUPS = (Group(0, 2, 3), Group(6, 1, 5))


def plain(q, k, v, traits):
    """Written out for one causal sequence [positions, heads, width], position by position and head by head."""
    out = torch.zeros_like(q)
    for at in range(len(q)):
        first = 0 if traits.window is None else max(at - traits.window + 1, 0)
        for head in range(q.shape[1]):
            shared = head // (q.shape[1] // k.shape[1])
            scores = k[first : at + 1, shared] @ q[at, head] * SCALE
            if traits.softcap is not None:
                scores = traits.softcap * torch.tanh(scores / traits.softcap)
            weights = scores.exp()
            total = weights.sum() + (0 if traits.sinks is None else traits.sinks[head].exp())
            out[at, head] = (weights / total) @ v[first : at + 1, shared]
    return out


@pytest.mark.parametrize("name", KINDS)
def test_prompts_behind_an_instruction(name):
    traits, (q, k, v) = KINDS[name], projections(11)
    _, prefix_k, prefix_v = projections(4, seed=1)
    cache = PromptCache(GROUPS, [(prefix_k.transpose(0, 1), prefix_v.transpose(0, 1))])
    out = PromptAttention(cache)(0, q, k, v, SCALE, traits=traits)
    ends = torch.tensor([2, 5, 10])
    cache = PromptCache(GROUPS, [(prefix_k.transpose(0, 1), prefix_v.transpose(0, 1))])
    last = PromptAttention(cache)(0, q[ends], k, v, SCALE, True, traits)
    for part in SEQUENCES:
        padded = torch.cat([torch.zeros(4, HEADS, 8), q[part]])
        expected = plain(padded, torch.cat([prefix_k, k[part]]), torch.cat([prefix_v, v[part]]), traits)[4:]
        torch.testing.assert_close(out[part], expected)
    torch.testing.assert_close(last, out[ends])


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_beams(name, padded):
    traits, (q, k, v) = KINDS[name], projections(12 if padded else 11)
    # padded: two prompts of 6 and 4 positions in one group of that width
    groups = (Group(0, 2, 6, torch.tensor([6, 4])),) if padded else GROUPS
    sequences = (slice(0, 6), slice(6, 10)) if padded else SEQUENCES
    cache = PromptCache(groups)
    PromptAttention(cache)(0, q, k, v, SCALE, traits=traits)
    beams, steps = BeamAttention(cache), []
    for step in range(3):
        beams.follow(torch.zeros(len(sequences), 1, dtype=torch.long))
        steps.append(list(projections(len(sequences), seed=step + 5)))
        out = beams(0, *steps[-1], SCALE, traits=traits)
    for prompt, part in enumerate(sequences):
        grown = [
            torch.cat([whole[part], *(step[kind][prompt : prompt + 1] for step in steps)])
            for kind, whole in enumerate((q, k, v))
        ]
        torch.testing.assert_close(out[prompt], plain(*grown, traits)[-1])


@pytest.mark.parametrize("name", KINDS)
def test_texts(name):
    """One layer of nothing but attention: what each text's newest token attends to."""
    traits, (embed, keys, values) = KINDS[name], (nn.Embedding(20, HEADS * 8).requires_grad_(False) for _ in range(3))
    seen = []

    def stack(embedded, positions, attention, last=None):
        ids = (torch.cdist(embedded, embed.weight)).argmin(-1)
        q = embedded.unflatten(-1, (HEADS, 8))
        k, v = (table.weight[ids].unflatten(-1, (HEADS, 8))[:, ::2] for table in (keys, values))
        out = attention(0, q, k, v, SCALE, traits=traits)
        seen.append(out)
        return out.flatten(1) if last is None else out.flatten(1)[last]

    prompts = [np.array([1, 2, 3, 4, 5]), np.array([6, 7])]
    texts = TextGeneration(stack, embed, lambda hidden: hidden, prompts, lambda: None)
    for tokens in ([8, 9], [10, 11], [12, 13]):
        texts.append(tokens)
    for text, prompt in enumerate(prompts):
        ids = torch.tensor([*prompt, *texts.tokens[text]])
        q = embed(ids).unflatten(-1, (HEADS, 8))
        k, v = (table(ids).unflatten(-1, (HEADS, 8))[:, ::2] for table in (keys, values))
        torch.testing.assert_close(seen[-1][text], plain(q, k, v, traits)[-1])
