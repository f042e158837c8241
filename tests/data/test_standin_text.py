"""What stand-ins are made from."""

from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.data.standin_text import StandinText, standin_text, text_digest


@pytest.mark.parametrize(
    ("title", "attributes", "categories", "year"),
    [
        ("Heat", {"genres": ("Action", "Crime"), "year": ("1995",)}, ("Action", "Crime"), 1995),
        ("Heat", {"release_date": ("15-Dec-1995",), "director": ("Mann",)}, ("Mann",), 1995),
        ("Heat (1995)", {"director": ("Mann",), "tags": ("slow", "blue")}, ("slow", "blue"), 1995),
        ("Heat 12345", {}, (), None),
        ("Heat", {"genres": tuple("abcdef")}, tuple("abcd"), None),
    ],
)
def test_categories_and_year_come_from_the_attributes_or_the_title(title, attributes, categories, year):
    text = standin_text(Catalogue([Item("1", title, attributes=attributes)]), 0)
    assert text == StandinText("1", title, categories, year)


def test_file_names_are_safe_and_follow_all_that_is_shown():
    text = StandinText("../A b/é", "Heat", ("Action",), 1995)
    assert text.stem.startswith("___a_b__-") and len(StandinText("x" * 300, "", (), None).stem) == 49
    others = [
        StandinText("../A b/è", "Heat", ("Action",), 1995),
        StandinText("../A b/é", "Cold", ("Action",), 1995),
        StandinText("../A b/é", "Heat", ("Crime",), 1995),
        StandinText("../A b/é", "Heat", ("Action",), None),
    ]
    assert len({text.stem, *(other.stem for other in others)}) == 5


def test_the_digest_ignores_letter_case():
    assert text_digest("Sci-Fi") == text_digest("sci-fi") != text_digest("Sci Fi")
