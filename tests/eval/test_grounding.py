"""The independent reading of sentences, its measures, and planted errors."""

from __future__ import annotations

import random

import pytest

from recommender.eval.grounding import Grounding, Subject, feature_metrics, groundedness, variety
from recommender.eval.planted_errors import KINDS, Swaps, plant_error

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


@pytest.mark.parametrize(
    "sentence",
    [
        'Because you watched "Alien", "Aliens" (1986) is a good match.',
        'You watched "Alien", so "Aliens" (1986) is an Action film that may suit you.',
        'You watched "Alien" from 1979, so "Aliens" (1986) is our next pick.',
        'As you watched "Alien" and "Alien", try "Aliens", which is an Action film.',
        '"Aliens" is a Sci-Fi film as you saw "Alien", which is a Horror film.',
    ],
)
def test_what_is_said_of_one_need_not_hold_for_another(sentence):
    assert false(sentence) == []


@pytest.mark.parametrize(
    "sentence",
    [
        'You watched "Aliens", so try "Alien".',
        'Because you watched "Alien" and "Aliens", "Aliens" is a good match.',
        'You watched "Alien", so "Aliens" is an Action film too.',
        'You watched Horror films like "Alien", so try "Aliens" (1986).',
        '"Aliens", which is a Horror film, fits "Alien".',
        'Like "Alien", which you watched, "Aliens" is an Action film: both are Action films.',
        '"Aliens" and "Alien" are Action films.',
        '"Aliens" (1986) is an Action film, just like "Alien", which you watched.',
    ],
)
def test_what_is_said_of_several_must_hold_for_all(sentence):
    assert false(sentence)


def test_groundedness_counts_claims():
    told = groundedness([READER.claims(s, ALIENS, [ALIEN]) for s in (TRUE, TRUE.replace("1986", "1990"))])
    assert told["claims"] - told["true"] == 1 == told["sentences_with_a_false_claim"] and told["sentences"] == 2


def test_variety_sees_through_names():
    same = ['Try "Heat" (1995).', 'Try "Alien" (1979).', "Something else."]
    told = variety(same)
    assert told["unique_sentence_ratio"] == 1 and told["different_wordings"] == pytest.approx(2 / 3)
    assert variety(["a b", "a b"])["distinct_2"] == 0.5


def test_features_by_hand():
    told = feature_metrics(
        ["a Drama film", "a Drama and War film", "nothing"], [["Drama"], ["Drama", "War"], ["Action"]]
    )
    assert told == {"fmr": pytest.approx(2 / 3), "fcr": pytest.approx(2 / 3), "div": pytest.approx(1 / 3)}


def test_planted_errors_are_false_and_of_every_kind():
    draw, kinds = random.Random(0), set()
    for _ in range(60):
        wrong = plant_error(TRUE, Swaps(["Aliens", "Alien"], ["Heat"], {"Sci-Fi"}, ["Drama"]), draw)
        kinds.add(wrong.kind)
        assert wrong.text != TRUE and false(wrong.text)
    assert kinds == set(KINDS)
