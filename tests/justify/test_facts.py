"""Facts of items: roles, years and decades, what is withheld, and the index against a scan."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.catalogue import Catalogue, Item
from recommender.justify.facts import fact_index, facts_of, label, role, years_of
from recommender.justify.inflection import singular

FILMS = Catalogue(
    [
        Item("1", "Heat (1995)", attributes={"genres": ("Action", "Crime"), "director": ("Mann",)}),
        Item("2", "Emma", attributes={"genre": ("comedy",), "year": ("1996",), "decade": ("the nineties",)}),
        Item("3", "Bare"),
        Item("4", "Two cuts", attributes={"release_years": ("1982", "1992", "n/a"), "categories": ("Crime", "CRIME")}),
        Item("5", "Long", attributes={"plot": ("x" * 100,), "url": ("https://x.org",)}),
    ]
)


def test_the_year_of_the_title_and_the_decade_are_facts():
    assert facts_of(FILMS, 0) == {
        "genres": ("Action", "Crime"),
        "director": ("Mann",),
        "year": ("1995",),
        "decade": ("1990s",),
    }
    assert facts_of(FILMS, 1)["decade"] == ("the nineties",)
    assert facts_of(FILMS, 2) == {} and facts_of(FILMS, 4) == {}
    assert facts_of(FILMS, 3)["decade"] == ("1980s", "1990s")
    assert years_of(facts_of(FILMS, 3)) == ("1982", "1992")


def test_what_says_that_nothing_is_known_is_no_fact():
    songs = Catalogue(
        [
            Item("1", "A", attributes={"genres": ("unknown", "Folk"), "artist": ("Unknown",)}),
            Item("2", "B", attributes={"genres": ("(no genres listed)",), "category": ("Other",), "label": ("Other",)}),
        ]
    )
    assert facts_of(songs, 0) == {"genres": ("Folk",)}
    assert facts_of(songs, 1) == {"label": ("Other",)}  # a name, for all that is known


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("genres", "kind"),
        ("Categories", "kind"),
        ("Directed-by", "director"),
        ("release_years", "year"),
        ("brand", "brand"),
    ],
)
def test_attributes_have_roles(name, expected):
    assert role(name) == expected


def test_names_become_words_in_the_singular():
    assert [singular(word) for word in ("stories", "class", "actors")] == ["story", "class", "actor"]
    assert label("Release_Years") == "release year" and label("") == ""


def test_facts_are_worked_out_once():
    assert facts_of(FILMS, 0) is facts_of(FILMS, 0)
    assert fact_index(FILMS) is fact_index(FILMS)


def test_the_index_goes_with_the_catalogue():
    catalogue = Catalogue([Item("1", "Heat (1995)")])
    index = weakref.ref(fact_index(catalogue))
    assert index() is not None
    del catalogue
    gc.collect()
    assert index() is None


def test_what_is_withheld_is_no_fact_of_that_item():
    quiet = FILMS.withholding({0: frozenset({("genres", "Crime"), ("decade", "1990s"), ("director", "Mann")})})
    assert facts_of(quiet, 0) == {"genres": ("Action",), "year": ("1995",)}
    assert facts_of(quiet, 3) is facts_of(FILMS, 3)
    assert fact_index(quiet).items(("genres", "Crime")).tolist() == []
    assert fact_index(FILMS).items(("genres", "Crime")).tolist() == [0]
    again = quiet.withholding({3: frozenset({("release_years", "1982")})})
    assert again.complete is FILMS and quiet.complete is FILMS and FILMS.complete is FILMS
    assert facts_of(again, 0) == facts_of(FILMS, 0) and years_of(facts_of(again, 3)) == ("1992",)


def test_items_are_found_by_their_facts_letter_for_letter():
    index = fact_index(FILMS)
    assert index.items(("categories", "Crime")).tolist() == [3]
    assert index.items(("categories", "crime")).tolist() == []
    assert index.items(("decade", "1990s")).tolist() == [0, 3]
    assert index.having([("genres", "Crime"), ("categories", "Crime")]).tolist() == [True, False, False, True, False]
    assert not index.having([]).any()
    assert index.names == ("categories", "decade", "director", "genre", "genres", "release_years", "year")


def test_kinds_are_all_genres_and_categories_casefolded():
    index = fact_index(FILMS)
    assert index.kinds == ({"action", "crime"}, {"comedy"}, set(), {"crime"}, set())
    assert index.kind_counts.tolist() == [2, 1, 0, 1, 0]
    assert {kind: items.tolist() for kind, items in index.kind_items.items()} == {
        "action": [0],
        "crime": [0, 3],
        "comedy": [1],
    }


def test_items_with_a_year_that_is_rejected_are_out_and_so_are_those_without_a_year():
    index = fact_index(FILMS)
    assert index.years == ((1995,), (1996,), (), (1982, 1992), ())
    assert index.with_years(lambda year: year >= 1990).tolist() == [True, True, False, False, False]
    assert index.with_years(lambda year: year < 1996).tolist() == [True, False, False, True, False]


facts = st.dictionaries(
    st.sampled_from(["genres", "tags", "year"]),
    st.lists(st.sampled_from(["Crime", "crime", "1980", "1999"]), min_size=1, max_size=3, unique=True).map(tuple),
)
pairs = st.tuples(
    st.sampled_from(["genres", "tags", "year", "decade"]), st.sampled_from(["Crime", "crime", "1980", "1980s"])
)


@given(st.lists(facts, min_size=1, max_size=6), st.lists(pairs, max_size=3))
def test_the_index_answers_as_a_scan_does(rows, group):
    catalogue = Catalogue(Item(str(i), f"Film {i}", attributes=row) for i, row in enumerate(rows))
    index = fact_index(catalogue)
    scanned = [any(value in facts_of(catalogue, i).get(name, ()) for name, value in group) for i in range(len(rows))]
    np.testing.assert_array_equal(index.having(group), scanned)
    late = [bool(own) and all(year > 1990 for year in own) for own in index.years]
    np.testing.assert_array_equal(index.with_years(lambda year: year > 1990), late)


@pytest.mark.parametrize(
    ("name", "words", "meaning"),
    [
        ("genres", "genre", "kind"),
        ("Sub-Categories", "sub category", "sub category"),
        ("subcategories", "subcategory", "kind"),
        ("release_years", "release year", "year"),
        ("directed by", "directed by", "director"),
        ("actresses", "actress", "cast"),
        ("class", "class", "kind"),
        ("series", "series", "series"),
        ("", "", ""),
    ],
)
def test_a_name_is_read_as_words_and_as_a_role(name, words, meaning):
    assert label(name) == words and role(name) == meaning


def facts_of_item(title, **attributes):
    return facts_of(Catalogue([Item("1", title, attributes=attributes)]), 0)


def test_the_decade_follows_from_the_year():
    assert facts_of_item("Heat", year=("1995",)) == {"year": ("1995",), "decade": ("1990s",)}
    assert facts_of_item("Heat", release_year=("1999", "2001"))["decade"] == ("1990s", "2000s")
    assert facts_of_item("Heat", year=("1995",), decade=("the nineties",))["decade"] == ("the nineties",)


def test_the_year_of_the_title_counts_where_no_attribute_has_one():
    assert facts_of_item("Jaws (1975)") == {"year": ("1975",), "decade": ("1970s",)}
    assert facts_of_item("Jaws (1975)", year=("1976",))["year"] == ("1976",)


@pytest.mark.parametrize("year", ["95", "19955", "199O", "١٩٩٥", "c. 1995"])
def test_what_is_no_year_of_four_digits_has_no_decade(year):
    assert "decade" not in facts_of_item("Heat", year=(year,))
    assert years_of({"year": (year,)}) == ()


def test_years_are_those_of_every_attribute_with_that_role():
    assert years_of({"year": ("1995",), "release_year": ("1996",), "genres": ("1997",)}) == ("1995", "1996")


def test_withheld_values_are_left_out_and_so_are_attributes_without_any_other():
    catalogue = Catalogue([Item("1", "Heat", attributes={"genres": ("Action", "Crime"), "year": ("1995",)})])
    less = catalogue.withholding({0: frozenset({("genres", "Crime"), ("year", "1995")})})
    assert facts_of(less, 0) == {"genres": ("Action",), "decade": ("1990s",)}
    assert facts_of(catalogue, 0)["genres"] == ("Action", "Crime")
