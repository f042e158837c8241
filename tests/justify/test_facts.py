"""Facts of an item: attributes, the year in its title, the decade, and what is withheld."""

from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify.facts import facts_of, label, role, years_of


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


def facts(title, **attributes):
    return facts_of(Catalogue([Item("1", title, attributes=attributes)]), 0)


def test_the_decade_follows_from_the_year():
    assert facts("Heat", year=("1995",)) == {"year": ("1995",), "decade": ("1990s",)}
    assert facts("Heat", release_year=("1999", "2001"))["decade"] == ("1990s", "2000s")
    assert facts("Heat", year=("1995",), decade=("the nineties",))["decade"] == ("the nineties",)


def test_the_year_of_the_title_counts_where_no_attribute_has_one():
    assert facts("Jaws (1975)") == {"year": ("1975",), "decade": ("1970s",)}
    assert facts("Jaws (1975)", year=("1976",))["year"] == ("1976",)


@pytest.mark.parametrize("year", ["95", "19955", "199O", "١٩٩٥", "c. 1995"])
def test_what_is_no_year_of_four_digits_has_no_decade(year):
    assert "decade" not in facts("Heat", year=(year,))
    assert years_of({"year": (year,)}) == ()


def test_years_are_those_of_every_attribute_with_that_role():
    assert years_of({"year": ("1995",), "release_year": ("1996",), "genres": ("1997",)}) == ("1995", "1996")


def test_withheld_values_are_left_out_and_so_are_attributes_without_any_other():
    catalogue = Catalogue([Item("1", "Heat", attributes={"genres": ("Action", "Crime"), "year": ("1995",)})])
    less = catalogue.withholding({0: frozenset({("genres", "Crime"), ("year", "1995")})})
    assert facts_of(less, 0) == {"genres": ("Action",), "decade": ("1990s",)}
    assert facts_of(catalogue, 0)["genres"] == ("Action", "Crime")
