"""Filters: what is left, and what is said of names and values that no item has."""

from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.engine.filters import matching
from recommender.errors import RecommenderError

FILMS = Catalogue(
    [
        Item("1", "Heat", attributes={"genres": ("Action", "Crime"), "year": ("1995",)}),
        Item("2", "Emma", attributes={"genres": ("Comedy",), "year": ("1996",)}),
        Item("3", "Ronin", attributes={"genres": ("action",), "director": ("Frankenheimer",)}),
    ]
)


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({}, [0, 1, 2]),
        ({"genres": ["ACTION"]}, [0, 2]),
        ({"genres": ["action", "comedy"]}, [0, 1, 2]),
        ({"genres": ["action", "horror"]}, [0, 2]),
        ({"genres": ["action"], "year": ["1995", "1996"]}, [0]),
        ({"genres": ["comedy"], "director": ["Frankenheimer"]}, []),
    ],
)
def test_an_item_needs_one_of_the_values_of_every_attribute(filters, left):
    mask = matching(FILMS, filters)
    assert (mask.dtype, len(mask), mask.nonzero()[0].tolist()) == (bool, 3, left)


@pytest.mark.parametrize(
    ("filters", "message", "hint"),
    [
        ({"genre": ["action"]}, "filters: no item has the attribute 'genre'", "did you mean genres?"),
        ({"price": ["1"]}, "filters: no item has the attribute 'price'", "there are ['director', 'genres', 'year']"),
        ({"genres": ["Actoin"]}, "filters.genres: no item has 'Actoin'", "did you mean action?"),
        ({"genres": ["zzz", "yyy"]}, "filters.genres: no item has 'zzz', 'yyy'", "one of action, crime, comedy"),
        ({"genres": []}, "filters.genres: no item has no value", None),
        (
            {"year": ["1995"], "genres": ["Horro"]},
            "filters.genres: no item has 'Horro'",
            "one of action, crime, comedy",
        ),
    ],
)
def test_names_and_values_that_no_item_has_are_refused(filters, message, hint):
    with pytest.raises(RecommenderError) as error:
        matching(FILMS, filters)
    assert (error.value.message, error.value.hint) == (message, hint)


def test_an_attribute_that_is_always_empty_counts_as_none():
    catalogue = Catalogue([Item("1", "A", attributes={"tags": ()}), Item("2", "B", attributes={"genres": ("x",)})])
    with pytest.raises(RecommenderError) as error:
        matching(catalogue, {"tag": ["y"]})
    assert error.value.hint == "did you mean tags?"
    with pytest.raises(RecommenderError, match="no item has the attribute 'tags'"):
        matching(catalogue, {"tags": ["y"]})


def test_what_is_withheld_from_justifications_is_filtered_by_all_the_same():
    quiet = FILMS.withholding({0: frozenset({("genres", "Action")})})
    assert matching(quiet, {"genres": ["action"]}).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("Clothing, Shoes & Jewelry", [0]),
        ("clothing, shoes & jewelry", [0]),
        ("Action, Crime", [1]),
        ("Crime,Action", [1]),
        ("Amélie", [2]),
        ("Ame\u0301lie", [2]),
    ],
)
def test_values_with_commas_and_accents_are_found(value, left):
    rows = [("Clothing, Shoes & Jewelry",), ("Action", "Crime"), ("Am\u00e9lie", "Action")]
    catalogue = Catalogue(Item(str(n), f"T{n}", attributes={"categories": row}) for n, row in enumerate(rows))
    assert matching(catalogue, {"categories": [value]}).nonzero()[0].tolist() == left


def test_a_list_of_which_one_part_is_unknown_is_refused():
    with pytest.raises(RecommenderError, match="no item has 'Action, Horor'"):
        matching(FILMS, {"genres": ["Action, Horor"]})


def test_a_number_is_found_however_it_is_written():
    priced = Catalogue(
        [Item("1", "A", attributes={"price": ("5.00",)}), Item("2", "B", attributes={"price": ("007",)})]
    )
    assert matching(priced, {"price": ["5"]}).tolist() == matching(priced, {"price": ["5.0"]}).tolist() == [True, False]
    assert matching(FILMS, {"year": ["1995.0"]}).tolist() == [True, False, False]
    with pytest.raises(RecommenderError, match="no item has '7'"):
        matching(priced, {"price": ["7"]})
