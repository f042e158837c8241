"""Validation: NDCG of held-out items, and the loss of held-out texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.config import StageConfig
from recommender.data.histories import Histories, Split, leave_one_out
from recommender.numerics.sampling import evenly
from recommender.prompting.packing import collate
from recommender.training.validation import held_out_loss, rank_histories, validation_ndcg


def test_rank_histories_removes_the_seen(make_checkpoint, histories):
    checkpoint = make_checkpoint()
    for history, items in zip(
        histories, rank_histories(checkpoint.model, checkpoint.builder, histories, 5, 8), strict=True
    ):
        assert len(items) == 5 and not set(items) & set(history)


def test_rank_histories_lists_the_seen_where_that_is_asked_for(make_checkpoint, histories):
    checkpoint = make_checkpoint()
    model, builder = checkpoint.model, checkpoint.builder
    everything = rank_histories(model, builder, histories, len(model.codes), 8, seen=True)
    unseen = rank_histories(model, builder, histories, 5, 8)
    for history, items, new in zip(histories, everything, unseen, strict=True):
        assert sorted(items) == list(range(len(model.codes)))
        assert items[~np.isin(items, history)][:5].tolist() == new.tolist()


def test_ndcg_is_that_of_the_ranks_of_the_targets(make_checkpoint, histories):
    checkpoint = make_checkpoint()
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))
    model, builder = checkpoint.model, checkpoint.builder
    lists = rank_histories(model, builder, split.history_for("validation"), 10, 20)
    gains = [
        1 / np.log2(items.tolist().index(target) + 2) if target in items else 0.0
        for items, target in zip(lists, split.validation, strict=True)
    ]
    assert validation_ndcg(model, builder, split, 100, 20) == pytest.approx(np.mean(gains)) and any(gains)
    some = validation_ndcg(model, builder, split, 3, 20)
    assert some == pytest.approx(np.mean([gains[user] for user in evenly(len(gains), 3)]))


def test_without_targets_there_is_nothing_to_validate(make_checkpoint, histories):
    checkpoint = make_checkpoint()
    none = np.full(len(histories), -1)
    split = Split(Histories(tuple(map(str, range(len(histories)))), tuple(histories)), none, none)
    assert validation_ndcg(checkpoint.model, checkpoint.builder, split, 100, 20) is None


def test_the_held_out_loss_is_that_of_its_labels(make_checkpoint):
    checkpoint = make_checkpoint()
    model, stage = checkpoint.model, StageConfig(stage="explain", row_tokens=64, batch_tokens=64)
    examples = [checkpoint.builder.writing(f"film {number}", "good blue film") for number in range(9)]
    with torch.no_grad():
        sums = [model(collate([[example]])) for example in examples]
    expected = sum(float(loss) for loss, _ in sums) / sum(int(labels) for _, labels in sums)
    none = np.zeros(0, np.int64)
    assert held_out_loss(model, examples, stage, none) == pytest.approx(expected, rel=1e-5)
    assert held_out_loss(model, [], stage, none) is None


def test_who_has_seen_everything_is_ranked_nothing_and_others_all_the_same(make_checkpoint):
    """One prompt of a batch without allowed items, one with a single item: three levels, more beams than children."""
    checkpoint = make_checkpoint(3)
    seen = [np.arange(20), np.arange(19), np.arange(5, 20), np.array([3])]
    lists = rank_histories(checkpoint.model, checkpoint.builder, seen, 10, 50)
    assert [len(items) for items in lists] == [0, 1, 5, 10] and lists[1].tolist() == [19]
    assert set(lists[2].tolist()) == set(range(5))
