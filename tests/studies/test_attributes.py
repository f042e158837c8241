from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.errors import DataError
from recommender.studies.attributes import attributes_of


def catalogue_of(*attributes):
    return Catalogue(Item(f"i{n}", f"title {n}", attributes=own) for n, own in enumerate(attributes))


def test_genres_are_taken_before_anything_else():
    found = attributes_of(
        catalogue_of({"year": ("1990",), "genres": ("a", "b")}, {"year": ("1990",), "genres": ("b",)})
    )
    assert found is not None and found.name == "genres"
    assert found.table.toarray().tolist() == [[1, 1], [0, 1]]


def test_an_item_without_the_attribute_has_an_empty_row():
    found = attributes_of(catalogue_of({"genres": ("a",)}, {}, {"genres": ("b", "a")}))
    assert found is not None and found.table.toarray().tolist() == [[1, 0], [0, 0], [1, 1]]


def test_without_a_known_name_the_attribute_of_fewest_values_tells():
    rows = [{"serial": (f"s{n}",), "maker": (f"m{n % 4}",), "colour": (f"c{n % 2}",), "unit": ("g",)} for n in range(8)]
    found = attributes_of(catalogue_of(*rows))
    assert found is not None and found.name == "colour"  # a unit is the same everywhere, a serial nowhere


def test_an_attribute_that_few_items_have_is_taken_only_if_it_is_named():
    catalogue = catalogue_of({"genres": ("a",)}, {}, {}, {})
    assert attributes_of(catalogue) is None
    named = attributes_of(catalogue, "genres")
    assert named is not None and named.table.sum() == 1


def test_long_texts_are_no_attribute_and_items_may_have_none():
    assert attributes_of(catalogue_of({"plot": ("x" * 100,)}, {"plot": ("y" * 100,)})) is None
    assert attributes_of(catalogue_of({}, {})) is None


def test_a_name_that_no_item_has_is_refused_with_the_closest():
    with pytest.raises(DataError, match="no item has an attribute 'genre'") as caught:
        attributes_of(catalogue_of({"genres": ("a",)}), "genre")
    assert caught.value.hint == "did you mean genres?"
    with pytest.raises(DataError) as caught:
        attributes_of(catalogue_of({"genres": ("a",)}), "x")
    assert caught.value.hint == "the items have genres"
