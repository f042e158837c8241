"""A training step that scores a part or a sample of the catalogue, beside one that scores all of it."""

from __future__ import annotations

import pytest
import torch

from recommender.config import Config
from recommender.errors import ConfigError
from recommender.model import training_softmax
from recommender.model.soft_targets import SoftTargets
from recommender.prompting.packing import Batch, collate


def batch_of(checkpoint) -> Batch:
    builder = checkpoint.builder
    ranking = [builder.ranking([3, 1, 4, 5, 9, 2], known=2, interaction_ids=torch.arange(6).numpy())]
    return collate([[*ranking, builder.ranking([7, 8, 3])]], builder.prefix)


def teacher() -> SoftTargets:
    items = torch.tensor([[3, 6], [1, 2], [4, 5], [5, 11], [9, 4], [0, 2]])
    return SoftTargets(torch.tensor([3, 1, 4, 5, 9, 2]), items, torch.full((6, 2), 0.5), 0.6)


def loss_and_gradients(checkpoint, taught: bool):
    """Return the loss of a step, the gradients of the projectors, and those of all rows."""
    model = checkpoint.model.train()
    model.rows.requires_grad_(not model.trains_few_rows)
    loss, _ = model(batch_of(checkpoint), 0.0, 0.0, 0.1, teacher() if taught else None)
    loss.backward()
    rows, window = model.rows.grad, model.take_window()
    if window is not None:
        assert rows is None and model.window is None
        rows = torch.zeros_like(model.rows)
        rows[window.codes] = window.rows.grad
    return loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None and n != "rows"}, rows


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize(("softmax", "levels"), [("chunked", 1), ("chunked", 3), ("sampled", 1)])
def test_parts_and_a_sample_of_everything_train_as_the_whole(
    softmax, levels, taught, make_checkpoint, config, monkeypatch
):
    monkeypatch.setattr(training_softmax, "LEAST_PART", 3)
    monkeypatch.setattr(training_softmax, "SCORES_AT_ONCE", 1)
    still = config.updated({"lora.lora_dropout": 0.0})
    whole = loss_and_gradients(make_checkpoint(levels, still), taught)
    parts = loss_and_gradients(make_checkpoint(levels, still.updated({"training.softmax": softmax})), taught)
    assert whole[1].keys() == parts[1].keys()
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_a_step_looks_at_no_more_rows_than_it_needs(make_checkpoint, config):
    checkpoint = make_checkpoint(1, config.updated({"training.softmax": "sampled", "training.negatives": 1}))
    model = checkpoint.model.train()
    model(batch_of(checkpoint))
    codes = set(model.take_window().codes.tolist())
    assert {1, 2, 3, 4, 5, 7, 8, 9} <= codes and len(codes) <= 9
    assert model.take_window() is None
    model.eval()(batch_of(checkpoint))
    assert model.take_window() is None


def test_large_catalogues_are_sampled_and_large_levels_cut(make_checkpoint, monkeypatch):
    one, three = make_checkpoint().model, make_checkpoint(3).model
    assert one.softmax_of(0) == three.softmax_of(0) == "full" and not one.trains_few_rows
    monkeypatch.setattr(training_softmax, "FULL_UP_TO", 2)
    assert one.softmax_of(0) == "sampled" and one.trains_few_rows
    assert three.softmax_of(0) == "chunked" and not three.trains_few_rows


def test_codes_that_items_share_are_not_sampled():
    with pytest.raises(ConfigError, match="sampled needs one level"):
        Config.parse({"training": {"softmax": "sampled"}, "semantic_ids": {"levels": 3}})
