"""What was spoken of: names, kinds by whom, people; and signals that rank by them."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.conversations.mentions import MentionFinder
from recommender.conversations.outside import WorkIndex
from recommender.conversations.spoken import SIGNALS, plain_signals, spoken_of
from recommender.conversations.taste import Taste
from tests.conversations.test_making import CATALOGUE, HISTORIES, OUTSIDE

FINDER, WORKS = MentionFinder(CATALOGUE), WorkIndex(OUTSIDE)
TASTE = Taste.learned(CATALOGUE, HISTORIES, OUTSIDE)


def spoken(*messages):
    mentions = [FINDER.find(text) for _, text in messages]
    return spoken_of(messages, mentions, WORKS)


def test_names_kinds_people_and_words_are_told_apart():
    found = spoken(
        ("user", "I liked The Baker (1970) and Elsewhere 3 (1983)"),
        ("assistant", "A comedy? The Sailor perhaps"),
        ("user", "no, horror, horror! by Ann Maker1"),
    )
    assert found.liked == (0, 1) and found.people == ("Ann Maker1",)
    assert found.kinds == {"comedy": 1, "horror": 2} and found.kinds_wanted == {"horror": 2}
    assert found.words.startswith("I liked The Baker") and "perhaps" not in found.words


def test_works_that_the_catalogue_lacks_are_known_by_name_and_year():
    assert spoken(("user", "Elsewhere 3 (1983) was great")).outside == (3,)
    assert spoken(("user", "Elsewhere 3 (1950) was great")).outside == ()


@pytest.mark.parametrize(
    ("text", "signal", "expected"),
    [
        ("something with horror", "kinds wanted", {2, 6}),
        ("by Ann Maker1", "people named", {1, 4, 7}),
        ("I liked The Painter (1972)", "kinds liked", {2, 6}),
        ("I liked Elsewhere 2 (1982)", "kinds liked", {2, 6}),
    ],
)
def test_signals_point_at_what_was_spoken_of(text, signal, expected):
    row = plain_signals([spoken(("user", text))], TASTE, None)[signal][0]
    assert set(np.flatnonzero(row >= row.max() - 1e-6).tolist()) == expected


def test_signals_have_a_row_for_each_conversation_and_are_finite():
    likeness = np.arange(16, dtype=np.float32).reshape(2, 8)
    both = plain_signals([spoken(("user", "hello")), spoken(("user", "comedy"))], TASTE, lambda texts: likeness)
    assert tuple(both) == SIGNALS and all(v.shape == (2, 8) and np.isfinite(v).all() for v in both.values())
    assert np.array_equal(both["likeness"], likeness)
    assert plain_signals([spoken(("user", "hello"))], TASTE, None)["likeness"].any() == False  # noqa: E712
