"""What may be listed: a mask of all rules of a request, and the notes."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.requests import Request
from recommender.engine.rules import ListingRules, short_list
from recommender.errors import RecommenderError
from recommender.justify import ClaimChecker
from recommender.store.opinions import Feedback

CATALOGUE = Catalogue(
    Item(str(n), f"Film {n}", attributes={"genres": ("comedy" if n % 2 else "drama",)}) for n in range(8)
)
HISTORY = np.array([0])


@pytest.fixture
def rules():
    return ListingRules(CATALOGUE, FeedbackPolicy(ClaimChecker(CATALOGUE)))


def allowed(rules, **fields):
    return np.flatnonzero(rules.allowed(Request(history=("0",), k=1, **fields), HISTORY).numpy()).tolist()


def test_every_rule_takes_items_away(rules):
    assert allowed(rules) == [1, 2, 3, 4, 5, 6, 7]
    assert allowed(rules, exclude=("3",)) == [1, 2, 4, 5, 6, 7]
    assert allowed(rules, only=("0", "3", "4")) == [3, 4]
    assert allowed(rules, filters={"genres": "Comedy"}) == [1, 3, 5, 7]
    assert allowed(rules, filters={"genres": "comedy"}, only=("1", "2", "3"), exclude=("3",)) == [1]


def test_what_is_not_for_somebody_is_left_out_for_them_alone(rules, tmp_path):
    rules.feedback_policy.keep_in(tmp_path / "feedback.jsonl")
    rules.feedback_policy.take(Feedback(item_id="5", opinion="not for me", user="ann"), "films")
    assert 5 not in allowed(rules, user="ann") and 5 in allowed(rules, user="bob") and 5 in allowed(rules)


def test_fewer_than_asked_for_or_none_may_be_left(rules):
    assert allowed(rules, only=("0",)) == allowed(rules, only=()) == []
    assert short_list(5, 4) == "4 items may be recommended, 5 were asked for"
    assert short_list(5, 1) == "1 item may be recommended, 5 were asked for"
    assert short_list(5, 0).startswith("nothing is left to recommend")


def test_boosts_stand_at_the_places_of_their_items(rules):
    assert rules.boosts(Request()) is None
    assert rules.boosts(Request(boosts={"6": 1.5, "2": -2})).tolist() == [0, 0, -2, 0, 0, 0, 1.5, 0]
    with pytest.raises(RecommenderError, match="nobody"):
        rules.boosts(Request(boosts={"nobody": 1}))
