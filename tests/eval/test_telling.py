"""What a text tells: bits of all its true claims together, counted by hand on eight films."""

from __future__ import annotations

import pytest

from recommender.eval.grounding import Grounding, Subject
from recommender.eval.telling import TellingReader, telling_measures


def film(name, year, *values):
    return Subject(frozenset({name}), frozenset(values), frozenset({year}))


FILMS = [
    film("Alien", 1979, "Horror", "Ridley Scott"),
    film("Aliens", 1986, "Sci-Fi", "Action"),
    film("Blade Runner", 1982, "Sci-Fi", "Ridley Scott"),
    film("Heat", 1995, "Action", "Drama"),
    *(film(f"Drama {n}", 1990 + n, "Drama") for n in range(4)),
]
DESCRIPTIONS = ["", "", "A policeman hunts artificial people through the rain of Los Angeles", *[""] * 5]
VALUES = {value for one in FILMS for value in one.values}
GROUNDING = Grounding(VALUES, {"Horror", "Sci-Fi", "Action", "Drama"})
READER = TellingReader(FILMS, {"person": {"Ridley Scott"}}, DESCRIPTIONS)


def told(text, item, *history):
    claims = GROUNDING.claims(text, FILMS[item], [FILMS[other] for other in history])
    return READER.read(text, claims, item)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ('Try "Blade Runner".', 0),
        ('Try "Blade Runner" (1982).', 0),  # the year only says which one
        ('Try "Blade Runner" (1982), a film from 1982.', 3),
        ('Try "Blade Runner", a Sci-Fi film.', 2),
        ('Try "Blade Runner", a science fiction film.', 2),  # as people say it
        ('Try "Blade Runner", a science fiction film by Ridley Scott.', 3),  # together, one of eight
        ('Try "Blade Runner", a film from the 1980s.', 2),
        ('Try "Blade Runner", a horror film.', 0),  # false, so it tells nothing
    ],
)
def test_bits_of_the_joint_claim(text, bits):
    assert told(text, 2).bits == pytest.approx(bits)


def test_what_is_said_of_a_history_item_alone_is_no_claim_on_the_recommended_one():
    text = '"Blade Runner" (1982) is suggested as you watched "Alien", which is a horror film.'
    assert told(text, 2, 0).bits == 0


def test_half_the_catalogue_is_vacuous_and_a_person_is_not():
    assert told('Try "Heat", a drama.', 3).vacuous and told('Try "Heat".', 3).vacuous
    scott = told('You watched "Alien", so try "Blade Runner": both were made by Ridley Scott.', 2, 0)
    assert scott.of == {"person"} and scott.bits == 2


def test_a_passage_of_the_description_is_told():
    assert "passage" in told('"Blade Runner": a policeman hunts artificial people, and it may suit you.', 2).of
    assert not told('"Blade Runner" is a film for you.', 2).of


def test_measures_are_shares_of_the_texts():
    texts = [told('Try "Heat", a drama.', 3), told('Try "Blade Runner", by Ridley Scott.', 2), told('Try "Heat".', 3)]
    measures = telling_measures(texts)
    assert measures["vacuous"] == 1 and measures["claims_nothing"] == pytest.approx(1 / 3)
    assert measures["of_its_own"] == measures["names"]["person"] == pytest.approx(1 / 3)
    assert telling_measures([])["vacuous"] == 0
