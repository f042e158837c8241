"""A checkpoint without training: unique codes, prompts of a length, scores that are no ties, all from a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.benchmarks.synthetic import (
    INSTRUCTION,
    full_trie,
    instruction,
    random_codes,
    synthetic_checkpoint,
    synthetic_prompts,
)
from recommender.inference.beam_search import score
from recommender.inference.weight_cache import WeightCache
from recommender.model.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def checkpoint(llm_folder) -> Checkpoint:
    return synthetic_checkpoint(str(llm_folder), layers=2, items=60, levels=3, size=16, dtype="float32")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 500), st.integers(1, 4), st.integers(8, 64), st.integers(0, 99))
def test_codes_are_unique_and_lie_within_their_level(items, levels, size, seed):
    if items > size**levels:
        with pytest.raises(ValueError, match="need more than"):
            random_codes(items, levels, size, seed)
        return
    codes = random_codes(items, levels, size, seed)
    assert codes.shape == (items, levels) and codes.dtype == np.int32
    assert len(np.unique(codes, axis=0)) == items and codes.min() >= 0 and codes.max() < size


def test_the_catalogue_can_be_as_large_as_there_are_codes():
    assert len(np.unique(random_codes(64, 2, 8), axis=0)) == 64


def test_the_model_has_the_layers_items_and_codes_that_are_asked_for(checkpoint):
    assert checkpoint.config.base.rank_layers == 2 and len(checkpoint.catalogue) == 60
    assert checkpoint.model.ids.sizes == (16, 16, 16) and checkpoint.model.ids.codes.shape == (60, 3)
    trie = full_trie(checkpoint.model)
    found = trie.codes_of(torch.arange(60)).numpy()
    np.testing.assert_array_equal(found, checkpoint.model.ids.codes)


def test_scores_are_spread_as_those_of_a_trained_model(checkpoint):
    scores = score(WeightCache(checkpoint.model), synthetic_prompts(checkpoint, 2, 24), range(60))
    assert np.isfinite(scores).all() and len(np.unique(scores[0].round(4))) > 30
    assert not np.allclose(scores[0], scores[1])  # the prompt matters


def test_the_same_seed_gives_the_same_model_and_another_one_another(llm_folder, checkpoint):
    made = [
        synthetic_checkpoint(str(llm_folder), layers=2, items=60, levels=3, size=16, dtype="float32", seed=seed)
        for seed in (0, 1)
    ]
    weights = [model.model.state_dict() for model in (checkpoint, *made)]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    assert any(not torch.equal(tensor, weights[2][name]) for name, tensor in weights[0].items())


@pytest.mark.parametrize("positions", [5, 16, 131, 200])
def test_prompts_have_their_length_a_common_instruction_and_a_whole_last_item(checkpoint, positions):
    prompts = synthetic_prompts(checkpoint, 3, positions, seed=1)
    words = instruction(checkpoint, positions, seed=1)
    assert [len(prompt) for prompt in prompts] == [positions] * 3
    assert len(words) == min(INSTRUCTION, positions // 2)
    offsets = checkpoint.model.vocabulary + checkpoint.model.offsets[:-1]
    items = {tuple(row) for row in checkpoint.model.ids.codes.tolist()}
    for prompt in prompts:
        np.testing.assert_array_equal(prompt.tokens[: len(words)], words)
        if positions - len(words) >= 3:
            assert tuple((prompt.tokens[-3:] - offsets).tolist()) in items
    assert positions < 16 or not np.array_equal(prompts[0].tokens, prompts[1].tokens)
