"""Answers to a query: what of it an item meets and misses."""

from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import ClaimChecker, Style
from recommender.justify.query_answer import answer_query

ITEMS = (
    ("Psycho", {"genres": ("Horror", "Thriller"), "director": ("Alfred Hitchcock",), "year": ("1960",)}, "A shower."),
    ("Big", {"genres": ("Comedy",), "cast": ("Tom Hanks",), "year": ("1988",)}, "A boy and a piano."),
    ("Splash", {"genres": ("Comedy", "Romance"), "cast": ("Tom Hanks",), "year": ("1984",)}, "Of mermaids."),
    ("That Thing", {"genres": ("Drama",), "director": ("Tom Hanks",), "year": ("1996",)}, ""),
)
CATALOGUE = Catalogue(Item(str(n), title, text, attributes=facts) for n, (title, facts, text) in enumerate(ITEMS))
CHECKER, FILMS = ClaimChecker(CATALOGUE), Style("films")


@pytest.mark.parametrize(
    ("query", "item", "text"),
    [
        ("a funny comedy", 1, '"Big" is a comedy, as you asked.'),
        ("comedy or thriller, please", 0, '"Psycho" is a thriller, as you asked.'),
        ("romantic comedies of the 80s", 2, '"Splash" is a romantic comedy from the 1980s, as you asked.'),
        (
            "romantic comedies of the 90s",
            1,
            '"Big" is a comedy, as you asked, but is no romantic film and is not from the 1990s.',
        ),
        ("with Tom Hanks", 0, '"Psycho" does not feature Tom Hanks, which is not what you asked for.'),
        ("Tom Hanks", 3, '"That Thing" was directed by Tom Hanks, as you asked.'),
        ("films by Alfred Hitchcock", 0, '"Psycho" was directed by Alfred Hitchcock, as you asked.'),
        ("no comedy", 0, '"Psycho" is no comedy, as you asked.'),
        ("she hates horror", 0, '"Psycho" is a horror film, which is not what you asked for.'),
        ("anything about a mermaid", 2, '"Splash" is described with “mermaid”, as you asked.'),
    ],
)
def test_what_is_met_and_what_is_not(query, item, text):
    answer = answer_query(query, [item], CHECKER, FILMS)[0]
    assert answer is not None and answer.text == text


@pytest.mark.parametrize("query", ["something good", "films like Big", "", "xyzzy", "a movie for tonight"])
def test_what_the_catalogue_does_not_know_is_not_answered(query):
    assert answer_query(query, [1], CHECKER, FILMS) == [None]


def test_parts_are_told_as_data():
    answer = answer_query("a comedy, not from 1988", [1], CHECKER, FILMS)[0]
    assert [(part.name, part.value) for part in answer.met] == [("genres", "Comedy")]
    assert [(part.name, part.value, part.holds) for part in answer.missed] == [("year", "1988", False)]


def test_german_has_its_own_words():
    answer = answer_query("comedy", [1], CHECKER, Style("films", language="de"))[0]
    assert answer.text == '"Big": wie gewünscht Comedy-Film.'
