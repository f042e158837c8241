"""Cells: a plain text of any value; lists stay lists, and only plain texts are split, not at every comma."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, date, datetime
from decimal import Decimal
from time import monotonic

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recommender.data.cells import flat, listed, plain_text
from recommender.data.columns import python_values
from recommender.data.written_lists import read_list
from recommender.errors import DataError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (50, "50"),
        (50.0, "50"),
        (np.int64(50), "50"),
        (np.float32(0.1), "0.1"),
        (np.float64(12.5), "12.5"),
        (" 50 ", "50"),
        ("007", "007"),
        ("50.0", "50.0"),
        ("None", "None"),
        (True, "True"),
        (np.bool_(True), "True"),
        (b"Toy Story", "Toy Story"),
        ("Misérables".encode(), "Misérables"),
        (Decimal("5.00"), "5.00"),
        (Decimal("1E+2"), "100"),
        (date(1995, 3, 1), "1995-03-01"),
        (pd.Timestamp("1995-03-01"), "1995-03-01"),
        (np.datetime64("1995-03-01", "ns"), "1995-03-01"),
        (datetime(1995, 3, 1, 10), "1995-03-01 10:00:00"),
        (datetime(1995, 3, 1, tzinfo=UTC), "1995-03-01 00:00:00+00:00"),
        (pd.Period("1995-03"), "1995-03"),
        (10**30, "1" + 30 * "0"),
        *((nothing, None) for nothing in (None, float("nan"), np.nan, pd.NA, pd.NaT, Decimal("NaN"), "", "  ", b"")),
    ],
)
def test_plain_values_are_texts(value, text):
    assert plain_text(value) == text


def test_an_integer_that_python_does_not_write_is_no_traceback():
    assert plain_text(10**5000).startswith("0x")


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(DataError, match="no UTF-8 text"):
        plain_text(b"caf\xe9")


JUNIOR = "Robert Downey, Jr."


@pytest.mark.parametrize(
    "value",
    [
        [JUNIOR, "Jude Law"],
        (JUNIOR, "Jude Law"),
        [[JUNIOR], ["Jude Law"]],
        np.array([JUNIOR, "Jude Law"], dtype=object),
        pd.Series([JUNIOR, "Jude Law"]),
        pd.Categorical([JUNIOR, "Jude Law"], categories=["Jude Law", JUNIOR]),
        deque([JUNIOR, "Jude Law"]),
        {JUNIOR: 1, "Jude Law": 2}.keys(),
        [{"id": 3, "name": JUNIOR}, {"id": 4, "name": "Jude Law"}],
        '["Robert Downey, Jr.", "Jude Law"]',
        "['Robert Downey, Jr.', 'Jude Law']",
        "['Robert Downey, Jr.' 'Jude Law']",
        '[{"id": 3, "name": "Robert Downey, Jr."}, {"id": 4, "name": "Jude Law"}]',
        "Robert Downey, Jr.|Jude Law",
        "Robert Downey, Jr.; Jude Law",
        "Robert Downey, Jr., Jude Law",
    ],
)
def test_a_name_with_a_comma_is_one_member(value):
    assert sorted(listed([value], "cast")[0]) == ["Jude Law", JUNIOR]


def test_members_of_sets_have_an_order_of_their_own():
    assert listed([{"b", "a, c"}], "genres") == listed([frozenset({"a, c", "b"})], "tags") == [["a, c", "b"]]


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("genres", "Action|Thriller", ["Action", "Thriller"]),
        ("genres", "Animation,Comedy", ["Animation", "Comedy"]),
        ("genres", "Drama; War", ["Drama", "War"]),
        ("authors", "Tolkien, J. R. R.", ["Tolkien, J. R. R."]),
        (
            "authors",
            "Kurt Vonnegut, Jr., Martin Luther King, Sr. (foreword)",
            ["Kurt Vonnegut, Jr.", "Martin Luther King, Sr. (foreword)"],
        ),
        ("writer", "Joss Whedon (story, draft), Andrew Stanton", ["Joss Whedon (story, draft)", "Andrew Stanton"]),
        ("categories", "Clothing, Shoes & Jewelry", ["Clothing, Shoes & Jewelry"]),
        ("categories", "Clothing, Shoes &amp; Jewelry|Men", ["Clothing, Shoes & Jewelry", "Men"]),
        ("brand", "Procter, Gamble", ["Procter, Gamble"]),
        ("brand", "A|B", ["A|B"]),
        ("cast", "[REC]", ["[REC]"]),
    ],
)
def test_plain_texts_are_split_where_the_name_means_a_list(name, text, values):
    assert listed([text], name) == [values]


def test_what_else_a_column_holds_tells_which_commas_separate():
    barred = ["Arts, Crafts and Sewing", "Toys|Games", "Animation,Comedy"]
    assert listed(barred, "categories") == [["Arts, Crafts and Sewing"], ["Toys", "Games"], ["Animation", "Comedy"]]
    together = ["Clothing, Shoes & Jewelry, Men", "Women, Clothing, Shoes & Jewelry", "Clothing"]
    assert listed(together, "categories") == [
        ["Clothing, Shoes & Jewelry", "Men"],
        ["Women", "Clothing, Shoes & Jewelry"],
        ["Clothing"],
    ]
    apart = ["Drama, Action & Adventure", "Action & Adventure, Comedy", "Drama"]
    assert listed(apart, "genres") == [["Drama", "Action & Adventure"], ["Action & Adventure", "Comedy"], ["Drama"]]
    assert listed(["Ann & Bob, Carl and Dora"], "cast") == [["Ann & Bob", "Carl and Dora"]]


def test_mappings_say_their_names():
    assert list(flat({"Colour": "red", "Sizes": [1, 2.0], "None": None})) == ["Colour: red", "Sizes: 1", "Sizes: 2"]
    assert listed(['{"Colour": "red"}'], "details") == [["Colour: red"]]


@pytest.mark.parametrize("text", ["[REC]", "[*]", "{", "[", "[1, 2", "{x}", "[" * 5000 + "]" * 5000, "['a' 'b' + 'c']"])
def test_what_only_looks_like_a_list_is_text(text):
    assert read_list(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "('Robert Downey, Jr.', 'Chris Evans')",
        "array(['Robert Downey, Jr.', 'Chris Evans'], dtype=object)",
        "array(['Robert Downey, Jr.', 'Chris Evans'], dtype='<U18')",
        "deque(['Robert Downey, Jr.', 'Chris Evans'])",
        "['Robert Downey, Jr.', nan, 'Chris Evans']",
        "['Robert Downey, Jr.', None, 'Chris Evans', <NA>]",
        "['Robert Downey, Jr.' 'Chris Evans' nan]",
        "[np.str_('Robert Downey, Jr.'), np.str_('Chris Evans')]",
        '{"Robert Downey, Jr.","Chris Evans"}',
        '{"Robert Downey, Jr.","Chris Evans",NULL}',
        '"Robert Downey, Jr.", Chris Evans',
        'Robert Downey, Jr., "Chris Evans"',
        "Robert Downey, Jr.;Chris Evans",
    ],
)
def test_lists_that_programs_print_are_lists(text):
    assert listed([text], "cast") == [["Robert Downey, Jr.", "Chris Evans"]]


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("tags", "frozenset({'b', 'a, c'})", ["a, c", "b"]),
        ("tags", "set()", []),
        ("numbers", "[1. 2.]", ["1", "2"]),
        ("numbers", "[ 1.5 nan 2 ]", ["1.5", "2"]),
        ("cast", '{"Robert Downey, Jr.",Action}', ["Robert Downey, Jr.", "Action"]),
        ("genres", "{Drama,Action}", ["Drama", "Action"]),
        ("genres", "{'id': 28, 'name': 'Action'}", ["Action"]),
        ("genres", '[{"id": 28, "name": "Action"}]', ["Action"]),
        ("authors", "Griffey, jr.", ["Griffey, jr."]),
        ("cast", "Robert Downey, JR, X", ["Robert Downey, JR", "X"]),
        ("tags", '"a; b", "c, d"', ["a; b", "c, d"]),
        ("authors", "King, Jr. and Coretta", ["King, Jr. and Coretta"]),
        ("authors", '"a, b", c', ["a, b", "c"]),
        ("artists", '"Weird Al" Yankovic, Prince', ['"Weird Al" Yankovic', "Prince"]),
        ("artist", '"Heroes"', ['"Heroes"']),
        ("author", "King, Stephen", ["King, Stephen"]),
        ("author", "van Gogh, Vincent", ["van Gogh, Vincent"]),
        ("author", "De la Cruz, Juana", ["De la Cruz, Juana"]),
        ("writer", "Dan Gordon, Lawrence Kasdan", ["Dan Gordon", "Lawrence Kasdan"]),
        ("writer", "Len Wein, Vin Diesel, Don DeLillo", ["Len Wein", "Vin Diesel", "Don DeLillo"]),
        ("author", "Le Guin, Ursula K.", ["Le Guin, Ursula K."]),
        ("author", "Stephen King, Peter Straub", ["Stephen King", "Peter Straub"]),
        ("artist", "Earth, Wind & Fire", ["Earth, Wind & Fire"]),
        ("artist", "Crosby, Stills, Nash & Young", ["Crosby, Stills, Nash & Young"]),
        ("artist", "Tyler, The Creator", ["Tyler, The Creator"]),
        ("artist", "Drake, Rihanna", ["Drake", "Rihanna"]),
        ("artists", "10,000 Maniacs, Prince", ["10,000 Maniacs", "Prince"]),
        ("genres", "28,878,12", ["28", "878", "12"]),
        ("titles", "('x')", ["('x')"]),
        ("titles", "(500) Days", ["(500) Days"]),
        ("titles", "(500)", ["(500)"]),
    ],
)
def test_what_is_one_value_and_what_is_several(name, text, values):
    assert listed([text], name) == [values]


def test_long_lists_are_lists_too():
    names = [f"Name {number}, Jr." for number in range(9000)]
    for text in (json.dumps(names), str(names)):
        assert len(text) > 1 << 17 and listed([text], "cast") == [names]


def test_maps_in_lists_are_mappings():
    kind = pa.list_(pa.map_(pa.string(), pa.string()))
    column = pa.chunked_array([pa.array([[[("id", "28"), ("name", "Action")]], None], kind)])
    assert listed(python_values(column), "genres") == [["Action"], []]


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1" * 60_000 + "x]",
        "['" + "\\'" * 30_000 + "]",
        "set(" * 5000 + ")" * 5000,
        "array(" + ",dtype=" * 8000 + ")",
        "[" + "1 " * 30_000 + "x]",
    ],
)
def test_hostile_texts_are_read_quickly(text):
    started = monotonic()
    assert read_list(text) == text and monotonic() - started < 2


@pytest.mark.parametrize("text", ['{"k": "x", "k": "y"}', "{'k': 'x', 'k': 'y'}"])
def test_a_mapping_in_a_text_loses_no_value_of_a_key_that_stands_twice(text):
    (texts,) = listed([text], "details")
    assert "x" in " ".join(texts) and "y" in " ".join(texts)


@pytest.mark.parametrize(
    "text",
    [
        "A Smith|B Jones",
        "A Smith; B Jones",
        "A Smith;B Jones",
        "A Smith, B Jones",
        "A Smith；B Jones",
        "A Smith | B Jones",
        "A Smith • B Jones",
        "A Smith、B Jones",
        "A Smith\nB Jones\n",
        "A Smith<br/>B Jones",
        "A Smith\tB Jones",
    ],
)
@pytest.mark.parametrize("name", ["artists", "authors", "genres", "tags", "actors", "keywords", "writers", "Directors"])
def test_a_column_of_several_is_split_as_that_of_one(name, text):
    assert listed([text], name) == listed([text], name.removesuffix("s")) == [["A Smith", "B Jones"]]


@pytest.mark.parametrize(
    ("name", "texts", "values"),
    [
        ("artists", ["Earth, Wind & Fire"], [["Earth, Wind & Fire"]]),
        ("artists", ["Tyler, The Creator", "Drake, Rihanna"], [["Tyler, The Creator"], ["Drake", "Rihanna"]]),
        ("authors", ["King, Stephen", "Le Guin, Ursula K."], [["King, Stephen"], ["Le Guin, Ursula K."]]),
        (
            "authors",
            ["Homer, Virgil", "Stephen King, Peter Straub"],
            [["Homer", "Virgil"], ["Stephen King", "Peter Straub"]],
        ),
        ("directors", ["Coen, Joel|Coen, Ethan", "Lynch, David"], [["Coen, Joel", "Coen, Ethan"], ["Lynch, David"]]),
        ("actors", ["Hanks, Tom; Ryan, Meg", "Hanks, Tom"], [["Hanks, Tom", "Ryan, Meg"], ["Hanks, Tom"]]),
        ("actors", ["Cher, Madonna"], [["Cher", "Madonna"]]),
        ("tag", ["sci-fi, robots"], [["sci-fi", "robots"]]),
        ("genres", ["Science\nFiction, Drama"], [["Science Fiction", "Drama"]]),
    ],
)
def test_names_with_commas_are_one_value_in_columns_of_several(name, texts, values):
    assert listed(texts, name) == values
