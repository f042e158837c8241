"""Item bias: mean scores change by the given bias, and new items are listed as often as calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.inference.item_bias import add_bias, calibrate_exposure, final_states, init_popularity_bias


def scores(checkpoint, histories) -> np.ndarray:
    """Logits [histories, items] before the softmax, which would take back what all items have in common."""
    model = checkpoint.model
    with torch.no_grad():
        return (final_states(model, checkpoint.builder, histories) @ model.all_items()[0].T).numpy()


def unread(histories, items):
    """Histories without these items: rows are read as well as scored, and what is read changes the state."""
    return [rest for history in histories if len(rest := history[~np.isin(history, items)])]


def test_the_mean_score_rises_by_the_bias_and_others_stay(make_checkpoint, histories):
    checkpoint, items = make_checkpoint(1), np.array([2, 5])
    users = unread(histories, items)
    before = scores(checkpoint, users)
    common = final_states(checkpoint.model, checkpoint.builder, users).mean(0)
    add_bias(checkpoint.model, items, np.array([1.5, -2.0]), common)
    change = (scores(checkpoint, users) - before).mean(0)
    np.testing.assert_allclose(change[items], [1.5, -2.0], atol=1e-3)
    others = np.delete(np.arange(len(change)), items)
    np.testing.assert_allclose(change[others], 0, atol=1e-5)


def test_exposure_is_as_calibrated_on_the_same_lists(make_checkpoint, histories):
    checkpoint, items = make_checkpoint(1), np.array([0, 7])
    users = unread(histories, items)
    share = calibrate_exposure(checkpoint.model, checkpoint.builder, users, items, times=2.0)
    found = scores(checkpoint, users)
    for row, history in zip(found, users, strict=True):
        row[history] = -np.inf
    best = np.argsort(-found, axis=1)[:, :10]
    assert np.isin(best, items).mean() == pytest.approx(share, abs=0.02)  # a tie may fall either way
    assert share >= 4 / (4 + found.shape[1] - 2)  # as the share is asked for, to the place above


def test_training_can_start_with_a_popularity_bias(make_checkpoint, histories):
    counts = np.bincount(np.concatenate(histories), minlength=len(make_checkpoint(1).catalogue))
    plain, biased = make_checkpoint(1), make_checkpoint(1)
    init_popularity_bias(biased.model, biased.builder, histories, strength=3.0)
    agreement = [
        np.corrcoef(scores(checkpoint, histories).mean(0), np.log1p(counts))[0, 1] for checkpoint in (plain, biased)
    ]
    assert agreement[1] > 0.9 > agreement[0]
