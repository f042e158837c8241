"""An evaluation within a part of the catalogue: as if there were nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import BASELINES, FitData
from recommender.engine import Recommender
from recommender.errors import DataError, RecommenderError
from recommender.studies.comparison import EvaluationOptions, evaluate
from recommender.studies.within import Within
from tests.conftest import ITEMS, write_tables

ONLY = {"genres": ["comedy"]}
COMEDIES = set(range(0, ITEMS, 2))


@pytest.fixture(scope="module")
def tables(tmp_path_factory, catalogue, histories):
    return write_tables(tmp_path_factory.mktemp("within"), catalogue, [history[:7] for history in histories])


def test_ranks_are_those_among_the_part_for_targets_of_it(tables, catalogue, histories):
    found = evaluate(["popularity"], **tables, options=EvaluationOptions(only=ONLY))
    cut = [history[:7] for history in histories]
    baseline = BASELINES["popularity"]()
    baseline.fit(FitData([history[:-1] for history in cut], ITEMS))
    expected = {}
    for user, history in enumerate(cut):
        if int(history[-1]) in COMEDIES:
            scores = np.asarray(baseline.scores([history[:-1]]))[0]
            order = sorted(COMEDIES - set(history[:-1].tolist()), key=lambda item: (-scores[item], item))
            expected[f"u{user}"] = order.index(int(history[-1])) + 1 if int(history[-1]) in order else None
    ranks = found.users.set_index("user")["rank popularity"]
    assert set(ranks.index) == set(expected)
    assert {user: rank for user, rank in expected.items() if rank} == ranks.dropna().astype(int).to_dict()
    assert "only genres=comedy" in found.about["split"]


def test_a_checkpoint_lists_items_of_the_part_alone_in_the_order_of_all(make_checkpoint, catalogue, histories):
    engine, part = Recommender(make_checkpoint()), Within.of(catalogue, ONLY)
    lists = part.ranking(engine)(histories[:3], ITEMS)
    for row, history in zip(lists, histories, strict=False):
        (whole,) = engine.rank([history], ITEMS)
        seen = set(history.tolist())
        assert [i for i in row if i >= 0] == [i for i in whole.items if i in COMEDIES and i not in seen]


def test_a_part_that_is_none_is_one_line(tables):
    for only, said in (({"genres": ["comdy"]}, "no item has"), ({"genre": ["comedy"]}, "no item has the attribute")):
        with pytest.raises(RecommenderError, match=said):
            evaluate(["popularity"], **tables, options=EvaluationOptions(only=only))


def test_targets_that_are_all_of_another_part_are_one_line(tables, tmp_path):
    (tmp_path / "targets.csv").write_text("user_id,item_id\nu0,119\n")
    with pytest.raises(DataError, match="no target has genres=comedy"):
        evaluate(["popularity"], **tables, test=str(tmp_path / "targets.csv"), options=EvaluationOptions(only=ONLY))
