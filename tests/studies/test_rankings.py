"""Ranking in batches: the same lists as one by one, seen items left out, every query its own."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.engine import Recommender
from recommender.studies import rankings
from recommender.studies.rankings import rank_histories
from tests.conftest import ITEMS


@pytest.fixture
def engine(make_checkpoint) -> Recommender:
    return Recommender(make_checkpoint())


def test_a_batch_is_ranked_as_each_history_alone(engine, histories, monkeypatch):
    monkeypatch.setattr(rankings, "BATCH", 5)
    lists = rank_histories(engine, histories, 4)
    assert lists.shape == (len(histories), 4) and lists.dtype == np.int64
    for row, history in zip(lists, histories, strict=True):
        assert row.tolist() == engine.rank([history], 4)[0].items.tolist()
        assert not set(row) & set(history.tolist())


def test_lists_end_with_padding_where_there_is_nothing_more(engine):
    (row,) = rank_histories(engine, [np.arange(ITEMS - 3)], 6)
    assert set(row[:3]) == {ITEMS - 3, ITEMS - 2, ITEMS - 1} and row[3:].tolist() == [-1] * 3


def test_other_items_than_those_of_the_history_may_be_left_out(engine):
    nothing = np.zeros(0, np.int64)
    (row,) = rank_histories(engine, [nothing], ITEMS, seen=[np.array([2, 5])])
    assert set(row) == {*range(ITEMS), -1} - {2, 5}


def test_every_history_gets_its_own_query(engine, histories):
    queries = ["comedy", "drama", "comedy"]
    lists = rank_histories(engine, histories[:3], 5, queries=queries)
    for row, history, query in zip(lists, histories, queries, strict=False):
        assert row.tolist() == engine.rank([history], 5, query=query)[0].items.tolist()


def test_progress_counts_histories(engine, histories, monkeypatch):
    monkeypatch.setattr(rankings, "BATCH", 5)
    steps: list[tuple[str, int, int]] = []
    rank_histories(engine, histories, 3, progress=lambda *step: steps.append(step))
    assert steps == [("ranking", 5, 12), ("ranking", 10, 12), ("ranking", 12, 12)]


def test_nobody_is_ranked_for_nobody(engine):
    assert rank_histories(engine, [], 3).shape == (0, 3)
