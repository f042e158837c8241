"""The study of favourites: hits by hand, and a model that listens apart from its ranker."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.baselines import FitData, make_baseline
from recommender.data.histories import Histories, leave_one_out
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.studies.favourites import LENGTHS, favourites_study, headline, write_favourites

RANDOM = np.random.default_rng(0)
LONG = tuple(RANDOM.permutation(20)[:12] for _ in range(40))


@pytest.fixture
def split():
    return leave_one_out(Histories(tuple(map(str, range(len(LONG)))), LONG))


def test_every_length_and_system_is_measured(listening_checkpoint, split, tmp_path):
    measured = favourites_study(Recommender(listening_checkpoint), split)
    assert set(measured["recall@10"]) == {str(length) for length in LENGTHS}
    for of_systems in measured["recall@10"].values():
        assert set(of_systems) == {"item-knn", "model", "what listens alone"}
        assert all(0 <= s["interval"][0] <= s["recall@10"] <= s["interval"][1] <= 1 for s in of_systems.values())
        assert of_systems["model"]["recall@10"] != of_systems["what listens alone"]["recall@10"]
    assert [row["system"] for row in headline(measured)] == ["item-knn", "model", "what listens alone"]
    write_favourites(tmp_path, measured)
    assert json.loads((tmp_path / "metrics.json").read_text()) == measured


def test_recall_is_counted_over_the_last_items_of_each_user(listening_checkpoint, split):
    knn = make_baseline("item-knn")
    knn.fit(FitData(split.train.items, 20))
    hits = []
    for known, target in zip(split.history_for("test"), split.test, strict=True):
        scores = np.array(knn.scores([known[-1:]])[0], np.float64)
        scores[known[-1]] = -np.inf
        hits.append((scores > scores[target]).sum() < 10)  # ties are few among these counts
    measured = favourites_study(Recommender(listening_checkpoint), split)["recall@10"]["1"]["item-knn"]["recall@10"]
    assert measured == pytest.approx(np.mean(hits), abs=0.1)


def test_a_sample_of_users_is_the_same_each_time(listening_checkpoint, split):
    engine = Recommender(listening_checkpoint)
    first, again = (favourites_study(engine, split, 10, seed=3) for _ in range(2))
    assert first == again and first["about"]["users"] == 10


def test_histories_that_are_too_short_are_named(listening_checkpoint):
    short = leave_one_out(Histories(("a", "b"), tuple(history[:5] for history in LONG[:2])))
    with pytest.raises(DataError, match="no user has 5 items before the last one"):
        favourites_study(Recommender(listening_checkpoint), short)
