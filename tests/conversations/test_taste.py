"""Taste: each part of a wish moves what it should, and what was named is not suggested."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.conversations.taste import Taste
from recommender.conversations.wishes import Wish
from tests.conversations.test_making import CATALOGUE, HISTORIES, KINDS

TASTE = Taste.learned(CATALOGUE, HISTORIES)
PLAIN = TASTE.scores(Wish())


def gain(wish, **options):
    return TASTE.scores(wish, **options) - PLAIN


@pytest.mark.parametrize("kind", [kind.lower() for kind in KINDS])
def test_kinds_are_wanted_or_not(kind):
    of_kind = np.array([KINDS[n % 4].lower() == kind for n in range(8)])
    assert (gain(Wish(kinds=[(kind,)]))[of_kind] > 0).all() and not gain(Wish(kinds=[(kind,)]))[~of_kind].any()
    assert (gain(Wish(not_kinds=[kind]))[of_kind] < 0).all() and not gain(Wish(not_kinds=[kind]))[~of_kind].any()
    assert (gain(Wish(kinds=[(kind,)])) > gain(Wish(tastes=[kind])))[of_kind].all()


def test_either_is_met_by_any_of_its_kinds_once():
    either = gain(Wish(kinds=[("comedy", "drama")]))
    assert np.allclose(either[[0, 1, 4, 5]], either[0]) and not either[[2, 3, 6, 7]].any()


def test_people_quotes_years_and_likeness():
    made = np.array([n % 3 == 1 for n in range(8)])
    assert (gain(Wish(people=["Ann Maker1"]))[made] > 0).all() and (
        gain(Wish(not_people=["Ann Maker1"]))[made] < 0
    ).all()
    assert np.flatnonzero(gain(Wish(quoted=[5]))).tolist() == [5]
    assert np.flatnonzero(gain(Wish(years=(1972, 1973)))).tolist() == [2, 3]
    likeness = np.linspace(0, 1, 8, dtype=np.float32)
    assert (np.diff(gain(Wish(), likeness=likeness)) > 0).all()


def test_what_was_named_is_out_and_company_counts():
    scores = TASTE.scores(Wish(liked=[1], named={1, 3}))
    assert np.isneginf(scores[[1, 3]]).all() and np.isfinite(np.delete(scores, [1, 3])).all()
    assert gain(Wish(disliked=[1], named=set())).min() < 0


def test_popularity_can_be_left_out():
    assert PLAIN.std() > 0 and not TASTE.scores(Wish(), popular=False).any()
