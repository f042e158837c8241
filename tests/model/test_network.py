"""The network: gradients reach what is trained, in any precision, and modalities change the scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.encoders.features import Features
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model.network import is_adapter_parameter
from recommender.prompting.packing import collate


def scores(checkpoint, history):
    prompts = [checkpoint.builder.prompt(history)]
    return beam_search.score(WeightCache(checkpoint.model), prompts, range(len(checkpoint.catalogue)))[0]


@pytest.mark.parametrize("levels", [1, 3])
def test_gradients_reach_every_projector_row_and_adapter(make_checkpoint, levels):
    checkpoint = make_checkpoint(levels)
    model, builder = checkpoint.model.train(), checkpoint.builder
    loss, count = model(collate([[builder.ranking([3, 1, 4, 5, 9, 2], known=2)]], builder.prefix))
    (loss / count).backward()
    assert int(count) == 4 * levels
    for name in model.modalities:
        assert model.projectors[name].enter.weight.grad.abs().sum() > 0, name
    assert model.projectors["image"].null.grad.abs().sum() > 0  # item 3 has no image
    assert model.rows.grad.abs().sum() > 0
    touched = {n for n, p in model.named_parameters() if ".rank." in n and p.grad is not None}
    assert touched and not any(".layers.2." in n for n in touched)  # ranks at depth 2 of 3
    assert all(p.grad is None for n, p in model.named_parameters() if not is_adapter_parameter(n))


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_another_items_vector_changes_the_scores(make_checkpoint, features, modality):
    checkpoint = make_checkpoint()
    with torch.no_grad():
        for projector in checkpoint.model.projectors.values():
            projector.leave.weight.mul_(20)
    before = scores(checkpoint, [4, 5])
    checkpoint.model.set_features(features.swapped(modality, 5, 6))
    after = scores(checkpoint, [4, 5])
    assert np.abs(before - after).max() > 1e-3
    checkpoint.model.set_features(features.without(modality))
    assert np.isfinite(scores(checkpoint, [4, 5])).all()


def test_muted_is_the_same_as_absent(make_checkpoint, features):
    checkpoint = make_checkpoint()
    with checkpoint.model.muted("audio"):
        muted = scores(checkpoint, [1, 2])
    whole = scores(checkpoint, [1, 2])
    checkpoint.model.set_features(features.without("audio"))
    np.testing.assert_allclose(muted, scores(checkpoint, [1, 2]), atol=1e-5)
    assert np.abs(muted - whole).max() > 0


def test_bfloat16_ranks_nearly_the_same(make_checkpoint, config, histories):
    exact = make_checkpoint()
    rough = make_checkpoint(settings=config.updated({"base.dtype": "bfloat16"}))
    difference = np.abs(scores(exact, [1, 2, 3]) - scores(rough, [1, 2, 3]))
    assert 0 < difference.max() < 0.2


@pytest.mark.parametrize("levels", [1, 3])
def test_bfloat16_learns_nearly_the_same(make_checkpoint, config, levels):
    def learned(dtype):
        checkpoint = make_checkpoint(levels, config.updated({"base.dtype": dtype}))
        model = checkpoint.model.train()
        loss, count = model(collate([[checkpoint.builder.ranking([3, 1, 4, 5, 9, 2])]], checkpoint.builder.prefix))
        (loss / count).backward()
        return float(loss.detach() / count), model.rows.grad, model.projectors["image"].enter.weight.grad

    (loss, *gradients), (expected, *exact) = learned("bfloat16"), learned("float32")
    assert loss == pytest.approx(expected, rel=0.02)
    for got, wanted in zip(gradients, exact, strict=True):
        assert got.dtype == torch.float32  # what is trained keeps its precision
        assert torch.cosine_similarity(got.flatten(), wanted.flatten(), 0) > 0.95


def test_four_bit_base_trains_on_the_cpu(make_checkpoint, config):
    pytest.importorskip("bitsandbytes")
    checkpoint = make_checkpoint(settings=config.updated({"base.load_in_4bit": True}))
    assert any("4bit" in type(m).__name__ for m in checkpoint.model.llm.modules())
    builder = checkpoint.builder
    batch = collate([[builder.ranking([3, 1, 4])]], builder.prefix)
    with torch.no_grad():  # as a validation does: bitsandbytes must not lay the matrices out for inference
        checkpoint.model.eval()(batch)
    loss, _ = checkpoint.model.train()(batch)
    loss.backward()
    grads = [p.grad for n, p in checkpoint.model.named_parameters() if ".rank." in n]
    assert any(g is not None and g.abs().sum() > 0 for g in grads)
    assert checkpoint.model.rows.grad is not None
    for module in checkpoint.model.llm.modules():
        if "Linear4bit" in type(module).__name__ and hasattr(module, "weight"):
            assert not getattr(module.weight.quant_state, "packing_format_for_cpu", False)


def test_some_items_alone_are_muted(make_checkpoint, features):
    checkpoint, items = make_checkpoint(), [1, 4]
    whole = checkpoint.model.all_items()
    with checkpoint.model.muted("image", items=items):
        assert checkpoint.model.muting == (frozenset(["image"]), (1, 4))
        some = checkpoint.model.all_items()
        with checkpoint.model.muted():
            torch.testing.assert_close(checkpoint.model.all_items(), whole)
    absent = features.vectors["image"].copy(), features.present["image"].copy()
    absent[0][items], absent[1][items] = 0, False
    checkpoint.model.set_features(
        Features(features.vectors | {"image": absent[0]}, features.present | {"image": absent[1]})
    )
    torch.testing.assert_close(some, checkpoint.model.all_items())
    assert not torch.equal(some[0][1], whole[0][1]) and torch.equal(some[0][2], whole[0][2])
