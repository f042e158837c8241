"""Singular and plural: what is one is not cut, and the two undo each other."""

from __future__ import annotations

import pytest

from recommender.justify.inflection import plural, singular

PAIRS = {
    "genre": "genres",
    "category": "categories",
    "key": "keys",
    "day": "days",
    "class": "classes",
    "box": "boxes",
    "match": "matches",
    "dish": "dishes",
    "movie": "movies",
    "cookie": "cookies",
    "story": "stories",
    "actress": "actresses",
    "series": "series",
    "species": "species",
    "news": "news",
    "beauty product": "beauty products",
}


@pytest.mark.parametrize(("one", "many"), PAIRS.items())
def test_singular_and_plural_undo_each_other(one, many):
    assert singular(many) == one and singular(one) == one
    if one not in ("movie", "cookie"):  # the plural adds an s to them too
        assert plural(one) == many
    else:
        assert plural(one) == f"{one}s"


@pytest.mark.parametrize("word", ["", "s", "us", "is", "bus", "genus", "analysis", "gas tax", "cast", "1990"])
def test_what_is_no_plural_stays(word):
    assert singular(word) == word
