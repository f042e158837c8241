"""What may be listed: a mask of all rules of a request, and the notes."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.requests import Request
from recommender.engine.rules import ListingRules
from recommender.errors import RecommenderError
from recommender.justify import ClaimChecker
from recommender.store.feedback import Feedback

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


def test_more_than_is_left_cannot_be_asked_for(rules):
    with pytest.raises(RecommenderError, match="k is 5, but only 4 of the catalogue's 8 items") as error:
        rules.allowed(Request(history=("0",), k=5, filters={"genres": "comedy"}), HISTORY)
    assert error.value.hint == "set k to 4 or less"
    with pytest.raises(RecommenderError, match="only 0 of") as error:
        rules.allowed(Request(k=1, only=("0",)), HISTORY)
    assert error.value.hint == "allow more items"


def test_boosts_stand_at_the_places_of_their_items(rules):
    assert rules.boosts(Request()) is None
    assert rules.boosts(Request(boosts={"6": 1.5, "2": -2})).tolist() == [0, 0, -2, 0, 0, 0, 1.5, 0]
    with pytest.raises(RecommenderError, match="nobody"):
        rules.boosts(Request(boosts={"nobody": 1}))
