"""The independent reading of sentences, its measures, and planted errors."""

from __future__ import annotations

import random

import pytest

from recommender.eval.grounding import Grounding, Subject, features, groundedness, variety
from recommender.eval.planted import KINDS, Room, plant

ALIENS = Subject(frozenset({"Aliens"}), frozenset({"Sci-Fi", "Action"}), frozenset({1986}))
ALIEN = Subject(frozenset({"Alien"}), frozenset({"Sci-Fi", "Horror"}), frozenset({1979}))
READER = Grounding({"Sci-Fi", "Action", "Horror", "Drama"})
TRUE = 'Because you watched "Alien", try "Aliens" (1986), which is a Sci-Fi film too.'


def false(sentence):
    return [claim.kind for claim in READER.claims(sentence, ALIENS, [ALIEN]) if not claim.true]


def test_a_true_sentence_has_no_false_claim():
    assert false(TRUE) == [] and len(READER.claims(TRUE, ALIENS, [ALIEN])) >= 5


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('"Alien"', '"Heat"', "name"),
        ("(1986)", "(1987)", "year"),
        ("Sci-Fi", "Horror", "value"),
        ("Sci-Fi film", "film from the 1980s", "year"),
        ('watched "Alien"', 'watched "Aliens"', "watched"),
        ('"Aliens" (1986)', '"Alien" (1979)', "recommended"),
    ],
)
def test_what_is_false_is_found(old, new, kind):
    assert kind in false(TRUE.replace(old, new))


def test_groundedness_counts_claims():
    told = groundedness([READER.claims(s, ALIENS, [ALIEN]) for s in (TRUE, TRUE.replace("1986", "1990"))])
    assert told["claims"] - told["true"] == 1 == told["sentences_with_a_false_claim"] and told["sentences"] == 2


def test_variety_sees_through_names():
    same = ['Try "Heat" (1995).', 'Try "Alien" (1979).', "Something else."]
    told = variety(same)
    assert told["unique_sentence_ratio"] == 1 and told["different_wordings"] == pytest.approx(2 / 3)
    assert variety(["a b", "a b"])["distinct_2"] == 0.5


def test_features_by_hand():
    told = features(["a Drama film", "a Drama and War film", "nothing"], [["Drama"], ["Drama", "War"], ["Action"]])
    assert told == {"fmr": pytest.approx(2 / 3), "fcr": pytest.approx(2 / 3), "div": pytest.approx(1 / 3)}


def test_planted_errors_are_false_and_of_every_kind():
    draw, kinds = random.Random(0), set()
    for _ in range(60):
        wrong = plant(TRUE, Room(["Aliens", "Alien"], ["Heat"], {"Sci-Fi"}, ["Drama"]), draw)
        kinds.add(wrong.kind)
        assert wrong.text != TRUE and false(wrong.text)
    assert kinds == set(KINDS)
