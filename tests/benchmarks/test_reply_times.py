"""How long a user waits: a row for each kind of request, and whether it is within its limit."""

from __future__ import annotations

import pytest

from recommender.benchmarks.reply_times import HEARD, HEARD_LIMIT, LIST_LIMIT, REPLY_LIMIT, bench_replies
from recommender.engine import Recommender

KINDS = ["list", "list with justifications", HEARD, "chat with justifications", "why not that one", "what if not seen"]


@pytest.fixture
def engine(make_checkpoint) -> Recommender:
    return Recommender(make_checkpoint())


def test_all_that_is_waited_for_is_measured(engine, histories):
    rows = bench_replies(engine, histories[:2], k=3)
    assert [row["what"] for row in rows] == KINDS
    for row in rows:
        assert row["histories"] == 2 and 0 < row["median s"] <= row["slowest s"] and row["processor s"] > 0


def test_lists_and_replies_have_a_limit_and_the_rest_has_none(engine, histories):
    rows = {row["what"]: row for row in bench_replies(engine, histories[:1], k=2)}
    assert rows["list"]["asked at most s"] == LIST_LIMIT and rows["list"]["within"] == 1
    assert rows["chat with justifications"]["asked at most s"] == REPLY_LIMIT
    assert rows[HEARD]["asked at most s"] == HEARD_LIMIT
    assert rows["why not that one"]["asked at most s"] == rows["why not that one"]["within"] == ""


def test_the_first_history_warms_up_and_is_not_counted(engine, histories):
    steps: list[tuple[str, int, int]] = []
    rows = bench_replies(engine, histories[:1], k=2, progress=lambda *step: steps.append(step))
    assert all(row["histories"] == 1 for row in rows)
    assert steps == [("replies", 0, 1), ("replies", 1, 1)]
