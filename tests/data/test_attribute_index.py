"""The inverted index against a scan of the rows."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.attribute_index import AttributeIndex
from recommender.data.catalogue import Catalogue, Item

ROWS = [
    {"genres": ("Comedy", "Drama"), "year": ("1995",)},
    {"genres": ("comedy",), "director": ("Mann",)},
    {},
    {"genres": (), "year": ("1995", "1996")},
]

values = st.lists(st.sampled_from(["A", "a", "B", "ß", "SS", ""]), max_size=3).map(tuple)
rows = st.lists(st.dictionaries(st.sampled_from(["genres", "year", "tag"]), values, max_size=3), max_size=8)


@given(rows, st.sampled_from(["genres", "year", "absent"]), values, st.sampled_from([str.casefold, str]))
def test_it_answers_as_a_scan_of_all_rows_does(rows, name, values, key):
    index = AttributeIndex(rows, key)
    item_values = [{key(value) for value in row.get(name, ())} for row in rows]
    keys = {key(value) for value in values}
    assert index.matching(name, values).tolist() == [bool(keys & own) for own in item_values]
    assert set(index.values(name)) == set().union(*item_values)
    for value in index.values(name):
        assert index.items(name, value).tolist() == [item for item, own in enumerate(item_values) if value in own]
    assert list(index.names) == sorted({name for row in rows for name in row})


def test_values_stand_in_the_order_of_the_rows_without_letter_case():
    index = AttributeIndex(ROWS)
    assert {value: items.tolist() for value, items in index.values("genres").items()} == {
        "comedy": [0, 1],
        "drama": [0],
    }
    assert index.items("genres", "COMEDY").tolist() == [0, 1]
    assert index.names == ("director", "genres", "year")


def test_what_is_unknown_has_no_items():
    index = AttributeIndex(ROWS)
    assert index.values("price") == {} and not index.matching("price", ["1"]).any()
    assert index.items("genres", "Horror").tolist() == [] and index.items("genres", "Horror").dtype == np.int64
    assert not index.matching("genres", []).any()
    assert AttributeIndex([]).matching("genres", ["x"]).tolist() == []


def test_an_attribute_is_read_once_and_only_if_it_is_asked_for():
    class Row(dict):
        reads = 0

        def get(self, name, default=None):
            Row.reads += 1
            return super().get(name, default)

    index = AttributeIndex([Row(genres=("Comedy",)), Row(year=("1995",))])
    assert Row.reads == 0
    for _ in range(3):
        index.matching("genres", ["comedy", "drama"])
    assert Row.reads == 2


def test_the_arrays_cannot_be_written_to():
    items = AttributeIndex(ROWS).items("genres", "comedy")
    with pytest.raises(ValueError, match="read-only"):
        items[0] = 3
    with pytest.raises(ValueError, match="read-only"):
        AttributeIndex(ROWS).items("genres", "none")[:] = 3


def test_copies_of_a_catalogue_share_the_index_unless_they_have_other_items():
    catalogue = Catalogue(Item(str(i), f"Film {i}", attributes=row) for i, row in enumerate(ROWS))
    quiet = catalogue.withholding({0: frozenset({("genres", "Comedy")})})
    assert quiet.attribute_index is catalogue.attribute_index
    assert quiet.attribute_index.matching("genres", ["comedy"]).tolist() == [True, True, False, False]
    longer = catalogue.append([Item("9", "New", attributes={"genres": ("Comedy",)})])
    assert longer.attribute_index.items("genres", "comedy").tolist() == [0, 1, 4]
    assert catalogue.attribute_index.items("genres", "comedy").tolist() == [0, 1]


def test_a_catalogue_with_its_index_can_be_sent_to_another_process():
    catalogue = Catalogue([Item("1", "Heat", attributes=ROWS[0])])
    catalogue.attribute_index.values("genres")
    sent = pickle.loads(pickle.dumps(catalogue))
    assert sent.attribute_index.matching("genres", ["drama"]).tolist() == [True]
