"""The rival of transformers: both of its searches find what our beam search finds, and nothing but items."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.benchmarks.synthetic import full_trie
from recommender.benchmarks.transformers_rival import TransformersRival, TrieLogitsProcessor
from recommender.inference.beam_search import rank
from recommender.inference.weight_cache import WeightCache
from recommender.model.checkpoint import Checkpoint

BEAM, K = 20, 6  # as wide as the catalogue: nothing is missed


@pytest.fixture(params=[1, 3], ids=["atomic", "three levels"])
def checkpoint(request, make_checkpoint) -> Checkpoint:
    return make_checkpoint(request.param)


@pytest.fixture
def rival(checkpoint) -> TransformersRival:
    return TransformersRival(checkpoint.model, full_trie(checkpoint.model))


def test_the_vectorised_search_ranks_what_our_search_ranks(checkpoint, rival):
    prompts = [checkpoint.builder.prompt(np.array(history)) for history in ([1, 2, 3], [7, 8, 9])]
    ours = rank(WeightCache(checkpoint.model), prompts, rival.trie, K, BEAM)
    for prompt, ranking in zip(prompts, ours, strict=True):
        (items,) = rival.generate([prompt], BEAM, K, vectorised=True)
        assert items == ranking.items.tolist()


def test_the_usual_prefix_function_finds_items_only_and_with_one_level_the_same(checkpoint, rival):
    """With several levels it takes probabilities over the whole vocabulary, so that its order is another one."""
    prompt = checkpoint.builder.prompt(np.array([1, 2, 3]))
    (items,) = rival.generate([prompt], BEAM, K, vectorised=False)
    assert len(set(items)) == K and set(items) <= set(range(20))
    if checkpoint.model.ids.levels == 1:
        (ours,) = rank(WeightCache(checkpoint.model), [prompt], rival.trie, K, BEAM)
        assert items == ours.items.tolist()


def test_prompts_of_one_length_are_searched_together(checkpoint, rival):
    prompt = checkpoint.builder.prompt(np.array([4, 5, 6]))
    together = rival.generate([prompt, prompt], BEAM, K, vectorised=True)
    assert together == rival.generate([prompt], BEAM, K, vectorised=True) * 2


def test_only_codes_of_items_may_follow(checkpoint, rival):
    allowed = rival.prefix_function(length=2)
    start = torch.tensor([5, 9])
    first = allowed(0, start)
    assert sorted(first) == sorted({tokens[0] for tokens in rival.items})
    assert allowed(0, torch.cat([start, torch.tensor([-7])])) == [0]  # no item begins so: anything but nothing


def test_the_processor_leaves_exactly_what_the_trie_allows(checkpoint, rival):
    vocabulary = rival.offsets[-1]
    processor = TrieLogitsProcessor(rival.trie, rival.offsets, length=1)
    scores = torch.randn(2, vocabulary, generator=torch.Generator().manual_seed(0))
    processed = processor(torch.tensor([[3], [4]]), scores)
    first = sorted({tokens[0] for tokens in rival.items})
    assert processed.shape == scores.shape
    assert [torch.nonzero(row > -torch.inf)[:, 0].tolist() for row in processed] == [first, first]
    expected = torch.log_softmax(scores[:, rival.offsets[0] : rival.offsets[1]], -1)
    torch.testing.assert_close(processed[:, first], expected[:, [token - rival.offsets[0] for token in first]])


def test_bare_passes_run_one_prefill_and_a_pass_for_each_further_level(checkpoint, rival, monkeypatch):
    shapes = []
    monkeypatch.setattr(rival.llm.model, "forward", lambda ids, **_: shapes.append(tuple(ids.shape)))
    prompt = checkpoint.builder.prompt(np.array([4, 5]))
    rival.bare_passes([prompt, prompt], beam=5)
    levels = checkpoint.model.ids.levels
    assert shapes == [(2, len(prompt)), *[(10, 1)] * (levels - 1)]
