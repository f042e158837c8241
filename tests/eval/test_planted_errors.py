"""Planted errors: every kind is planted, the text is false afterwards, and what cannot be planted is left."""

from __future__ import annotations

import random

import pytest

from recommender.eval.grounding import Grounding, Subject
from recommender.eval.planted_errors import KINDS, Swaps, plant_error

ALIENS = Subject(frozenset({"Aliens"}), frozenset({"Sci-Fi", "Action"}), frozenset({1986}))
ALIEN = Subject(frozenset({"Alien"}), frozenset({"Sci-Fi", "Horror"}), frozenset({1979}))
TRUE = 'Because you watched "Alien", try "Aliens" (1986), which is a Sci-Fi film too.'
SWAPS = Swaps(["Aliens", "Alien"], ["Heat"], {"Sci-Fi"}, ["Drama"])


def false_claims(text: str) -> list[str]:
    claims = Grounding({"Sci-Fi", "Action", "Horror", "Drama"}).claims(text, ALIENS, [ALIEN])
    return [claim.kind for claim in claims if not claim.true]


def planted(text: str, swaps: Swaps = SWAPS, tries: int = 60) -> dict[str, set[str]]:
    """Return kind -> the texts that are planted in so many tries."""
    draw, texts = random.Random(0), {}
    for _ in range(tries):
        if error := plant_error(text, swaps, draw):
            texts.setdefault(error.kind, set()).add(error.text)
    return texts


def test_planted_errors_are_false_and_of_every_kind():
    errors = planted(TRUE)
    assert set(errors) == set(KINDS)
    assert all(text != TRUE and false_claims(text) for texts in errors.values() for text in texts)


def test_each_kind_changes_what_it_says():
    errors = planted(TRUE)
    assert errors["name"] == {TRUE.replace('"Aliens"', '"Heat"')}
    assert errors["never watched"] == {TRUE.replace('"Alien"', '"Heat"')}
    assert errors["value"] == {TRUE.replace("Sci-Fi", "Drama")}
    assert all("(1986)" not in text and text.count('"Aliens"') == 1 for text in errors["year"])


def test_a_value_within_a_name_is_left_alone():
    text = 'Because you watched "Drama Queen", try "Aliens": both are Drama films.'
    errors = planted(text, Swaps(["Aliens", "Drama Queen"], ["Heat"], {"Drama"}, ["War"]))
    assert errors["value"] == {text.replace("are Drama", "are War")}


@pytest.mark.parametrize(
    ("text", "swaps", "kinds"),
    [
        ('Try "Aliens".', Swaps(["Aliens"], ["Heat"], set(), []), {"name"}),
        ('Try "Aliens" (1986).', Swaps(["Aliens"], ["Heat"], {"Sci-Fi"}, ["Drama"]), {"name", "year"}),
        ('Try "Aliens", a Sci-Fi film.', Swaps(["Aliens"], ["Heat"], {"Sci-Fi"}, []), {"name"}),
        (
            'You saw "Alien", so try "Aliens".',
            Swaps(["Aliens", "Alien"], ["Heat"], set(), []),
            {"name", "never watched", "crowd"},
        ),
    ],
)
def test_only_kinds_that_the_text_has_room_for_are_planted(text, swaps, kinds):
    assert set(planted(text, swaps)) == kinds


def test_a_text_without_room_for_any_error_gets_none():
    assert plant_error("Try this one.", Swaps(["Aliens"], ["Heat"], set(), []), random.Random(0)) is None


MANY = 'Many who saw "Alien" also saw "Aliens" (1986).'
COUNTED = '12 people who saw "Alien" also saw "Aliens" (1986).'
AMONG = Swaps(["Aliens", "Alien"], ["Heat"], set(), [], {"Alien"}, ["Heat"])


@pytest.mark.parametrize("text", [MANY, COUNTED, 'You saw "Alien", so try "Aliens".'])
def test_a_false_crowd_is_planted_and_found(text):
    reader, heat = Grounding(set()), Subject(frozenset({"Heat"}), frozenset(), frozenset())
    assert all(claim.true for claim in reader.claims(text, ALIENS, [ALIEN, heat], [12, 0]))
    wrong = planted(text, AMONG)["crowd"]
    assert len(wrong) > 2
    for changed in wrong:
        assert "crowd" in [c.kind for c in reader.claims(changed, ALIENS, [ALIEN, heat], [12, 0]) if not c.true], (
            changed
        )


def test_another_item_of_the_history_takes_the_place_of_a_companion():
    assert MANY.replace('"Alien"', '"Heat"') in planted(MANY, AMONG)["crowd"]
