"""Mentions: names, values and other words for kinds are found, and told apart."""

from __future__ import annotations

import pytest

from recommender.conversations.mentions import MOST_OF_SERIES, MentionFinder
from recommender.data.catalogue import Catalogue, Item

ROWS = (
    ("Alien (1979)", ("Horror", "Sci-Fi"), "Ridley Scott", ("Sigourney Weaver",)),
    ("Aliens (1986)", ("Action", "Sci-Fi"), "James Cameron", ("Sigourney Weaver",)),
    ("Alien 3 (1992)", ("Action", "Horror"), "David Fincher", ("Sigourney Weaver",)),
    ("Airplane! (1980)", ("Comedy",), "Jim Abrahams", ("Robert Hays",)),
    ("Babe (1995)", ("Children's", "Comedy"), "Chris Noonan", ("Magda Szubanski",)),
    ("Platoon (1986)", ("War", "Drama"), "Oliver Stone", ("Charlie Sheen",)),
)
CATALOGUE = Catalogue(
    Item(str(n), title, attributes={"genres": kinds, "director": (director,), "cast": cast})
    for n, (title, kinds, director, cast) in enumerate(ROWS)
)
FINDER = MentionFinder(CATALOGUE)


def found(text):
    return [(m.text, m.items, tuple(v for _, v in m.facts)) for m in FINDER.find(text)]


def test_names_values_and_other_words_in_order():
    text = "I loved Babe (1995), something funny or a horror film by Ridley Scott"
    assert found(text) == [
        ("Babe (1995)", (4,), ()),
        ("funny", (), ("Comedy",)),
        ("horror", (), ("Horror",)),
        ("Ridley Scott", (), ("Ridley Scott",)),
    ]
    assert [m.figurative for m in FINDER.find(text)] == [False, True, False, False]
    for mention in FINDER.find(text):
        assert text[mention.start : mention.end] == mention.text


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("comedies please", ("Comedy",)),
        ("science fiction", ("Sci-Fi",)),
        ("some sci fi", ("Sci-Fi",)),
        ("not too scary", ("Horror",)),
        ("family friendly", ("Children's",)),
        ("anything with sigourney weaver", ("Sigourney Weaver",)),
        ("the weather is fine", ()),
        ("", ()),
    ],
)
def test_values_as_people_say_them(text, facts):
    assert tuple(value for _, _, values in found(text) for value in values) == facts


def test_a_name_of_nothing_is_a_mention_without_meaning():
    assert found("I liked Deadpool 2 (2018)") == [("Deadpool 2 (2018)", (), ())]


def test_a_series_has_the_positions_of_its_items():
    (mention,) = FINDER.find("the Alien films were great")
    assert mention.series and set(mention.positions) <= {0, 1, 2} and 1 < len(mention.positions) <= MOST_OF_SERIES
