"""Scores that add_bias: by the amount asked for on average over users, and towards what is popular."""

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
    return [kept for own in histories if len(kept := own[~np.isin(own, items)])]


def test_an_item_rises_by_what_was_asked_on_average_and_others_stay(make_checkpoint, histories):
    checkpoint, items = make_checkpoint(1), np.array([2, 5])
    users = unread(histories, items)
    before = scores(checkpoint, users)
    common = final_states(checkpoint.model, checkpoint.builder, users).mean(0)
    add_bias(checkpoint.model, items, np.array([1.5, -2.0]), common)
    change = (scores(checkpoint, users) - before).mean(0)
    np.testing.assert_allclose(change[items], [1.5, -2.0], atol=1e-3)
    others = np.delete(np.arange(len(change)), items)
    np.testing.assert_allclose(change[others], 0, atol=1e-5)


def test_a_grant_is_kept_on_the_lists_that_it_was_judged_by(make_checkpoint, histories):
    checkpoint, items = make_checkpoint(1), np.array([0, 7])
    users = unread(histories, items)
    told = calibrate_exposure(checkpoint.model, checkpoint.builder, users, items, times=2.0)
    found = scores(checkpoint, users)
    for row, own in zip(found, users, strict=True):
        row[own] = -np.inf
    best = np.argsort(-found, axis=1)[:, :10]
    assert np.isin(best, items).mean() == pytest.approx(told, abs=0.02)  # a tie may fall either way
    assert told >= 4 / (4 + found.shape[1] - 2)  # as the share is asked for, to the place above


def test_training_can_start_from_what_is_popular(make_checkpoint, histories):
    counts = np.bincount(np.concatenate(histories), minlength=len(make_checkpoint(1).catalogue))
    plain, leaning = make_checkpoint(1), make_checkpoint(1)
    init_popularity_bias(leaning.model, leaning.builder, histories, strength=3.0)
    agreement = [np.corrcoef(scores(one, histories).mean(0), np.log1p(counts))[0, 1] for one in (plain, leaning)]
    assert agreement[1] > 0.9 > agreement[0]
