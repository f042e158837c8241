"""The cache of weights: computed once, and anew when something that it depends on changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.inference import beam_search
from recommender.inference.weight_cache import INSTRUCTIONS, WeightCache


@pytest.fixture
def model(make_checkpoint):
    return make_checkpoint().model


def test_nothing_is_computed_twice(model):
    weights = WeightCache(model)
    assert weights.stack() is weights.stack() and weights.items()[0] is weights.items()[0]
    tokens = np.array([3, 4, 5])
    assert weights.prefix(tokens) is weights.prefix(tokens.copy())


def test_changed_layers_make_a_new_stack_and_forget_the_instructions(model):
    weights, tokens = WeightCache(model), np.array([3, 4, 5])
    stack, prefix, items = weights.stack(), weights.prefix(tokens), weights.items()
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "lora_B" in n and ".rank." in n).add_(1.0)
    assert weights.stack() is not stack and weights.prefix(tokens) is not prefix
    assert weights.items()[0] is items[0]


@pytest.mark.parametrize("part", ["rows", "projector", "features", "muted"])
def test_changed_items_are_embedded_anew(model, features, part):
    weights = WeightCache(model)
    stack, before = weights.stack(), weights.items()[0]
    logits = weights.code_logits(torch.ones(32), 0)
    with torch.no_grad():
        if part == "rows":
            model.rows.mul_(1.5)
        elif part == "projector":
            model.projectors["text"].null.add_(1.0)
            model.projectors["text"].leave.bias.add_(1.0)
        elif part == "features":
            model.set_features(features.without("text"))
    if part == "muted":
        with model.muted("text"):
            assert not torch.equal(weights.items()[0], before)
        torch.testing.assert_close(weights.items()[0], before)
        return
    assert not torch.equal(weights.items()[0], before) and weights.stack() is stack
    torch.testing.assert_close(weights.code_logits(torch.ones(32), 0), model.code_logits(torch.ones(32), 0))
    assert not torch.allclose(weights.code_logits(torch.ones(32), 0), logits)


def test_items_without_some_modalities_are_embedded_once_and_the_last_few_sets_are_kept(model, monkeypatch):
    weights = WeightCache(model)
    whole, found = weights.items()[0], {}
    for off in ("text", "image", "audio"):
        with model.switched_off([off]):
            found[off] = weights.items()[0]
            with model.muted(off):
                torch.testing.assert_close(weights.items()[0], found[off])
            logits = weights.code_logits(torch.ones(32), 0)
        with model.muted(off):
            torch.testing.assert_close(weights.items()[0], found[off])
            torch.testing.assert_close(weights.code_logits(torch.ones(32), 0), logits)
    with model.switched_off(["image"]):
        assert weights.items()[0] is found["image"] and weights.items()[0] is not whole
        with model.muted("text", items=[1, 4]):  # some items lack one more
            some = weights.items()[0]
    with model.muted("image", "text"):
        torch.testing.assert_close(some[[1, 4]], weights.items()[0][[1, 4]])
    torch.testing.assert_close(some[[0, 2]], found["image"][[0, 2]])
    assert weights.items()[0] is whole
    monkeypatch.setattr("recommender.inference.weight_cache.WITHOUT_BYTES", 0)
    with model.switched_off(["collaborative"]):
        weights.items()
    with model.switched_off(["image"]):  # only the last set has room
        assert weights.items()[0] is not found["image"]


def test_only_the_last_instructions_are_kept(model):
    weights = WeightCache(model)
    first = weights.prefix(np.array([3, 4]))
    for number in range(INSTRUCTIONS - 1):
        weights.prefix(np.array([5 + number]))
    assert weights.prefix(np.array([3, 4])) is first  # used again, so it is the newest
    for number in range(INSTRUCTIONS):
        weights.prefix(np.array([15 + number]))
    assert weights.prefix(np.array([3, 4])) is not first


def test_keys_and_values_have_a_position_a_token(model):
    prefix = WeightCache(model).prefix(np.array([3, 4, 5, 6]))
    assert len(prefix) == model.config.base.rank_layers
    assert all(keys.shape == values.shape == (2, 4, 8) for keys, values in prefix)


@pytest.mark.parametrize("levels", [1, 3])
def test_scores_of_codes_are_those_of_the_model(make_checkpoint, levels):
    model = make_checkpoint(levels).model
    states = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    for level in range(levels):
        torch.testing.assert_close(WeightCache(model).code_logits(states, level), model.code_logits(states, level))


def test_a_few_muted_items_are_embedded_alone_and_the_whole_is_kept(model):
    weights, hidden = WeightCache(model), torch.ones(32)
    whole, logits = weights.items()[0], weights.code_logits(hidden, 0)
    with model.muted("image", items=[1, 4]):
        torch.testing.assert_close(weights.items()[0], model.all_items()[0])
        torch.testing.assert_close(weights.items()[1], model.all_items()[1])
        torch.testing.assert_close(weights.code_logits(hidden, 0), model.code_logits(hidden, 0))
        assert not torch.equal(weights.items()[0], whole)
    assert weights.items()[0] is whole and torch.equal(weights.code_logits(hidden, 0), logits)


@pytest.mark.parametrize("levels", [1, 3])
def test_of_a_large_catalogue_only_what_is_read_is_embedded_and_scores_are_the_same(
    make_checkpoint, monkeypatch, levels
):
    model = make_checkpoint(levels).model
    prompts = [make_checkpoint(levels).builder.prompt(history) for history in ([1, 2, 3], [4])]
    items = range(len(model.codes))
    whole = beam_search.score(WeightCache(model), prompts, items)
    with model.muted("image", items=[1, 4]):
        muted = beam_search.score(WeightCache(model), prompts, items)
    with model.muted("image"):
        all_muted = beam_search.score(WeightCache(model), prompts, items)
    monkeypatch.setattr("recommender.inference.weight_cache.KEPT_ITEMS", 5)
    monkeypatch.setattr("recommender.model.item_embeddings.AT_ONCE", 7)
    weights = WeightCache(model)
    for _ in range(2):  # what is kept of one is not taken for another
        assert weights.items() is None
        np.testing.assert_allclose(beam_search.score(weights, prompts, items), whole, atol=1e-5)
        with model.muted("image", items=[1, 4]):
            np.testing.assert_allclose(beam_search.score(weights, prompts, items), muted, atol=1e-5)
        with model.muted("image"):
            np.testing.assert_allclose(beam_search.score(weights, prompts, items), all_muted, atol=1e-5)
    assert np.abs(whole - muted).max() > 1e-4
