"""Names of items as justifications spell them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.catalogue import Item
from recommender.justify.item_names import NAME_LENGTH, display_name, forms, other_names, title_year, words


def test_names_are_cut_between_words_and_stay_known():
    item = Item("1", "A very " + "long " * 30 + '12" title')
    name = display_name(item)
    assert len(name) <= NAME_LENGTH and name.endswith("long…")
    assert name in other_names(item, ())
    assert '"' not in display_name(Item("2", 'The "Best" 12" Brush'))
    assert display_name(Item("3", "Godfather, The (1972)")) == "The Godfather (1972)"
    assert display_name(Item("4", "Boot, Das")) == "Das Boot"
    assert display_name(Item("5", "Enfer, L'")) == "L'Enfer"
    assert display_name(Item("6", "Bye Bye, Love")) == "Bye Bye, Love"
    assert display_name(Item("x7", "★★★")) == "item x7"


@pytest.mark.parametrize("title", ["Jaws (1975)", "Jaws (1975) ", "Jaws (the film)", "1975", "Jaws (19755)"])
def test_a_year_is_read_from_brackets_at_the_end_only(title):
    assert title_year(title) == ("1975" if title == "Jaws (1975)" else None)


def test_all_names_of_an_item_are_known():
    names = other_names(Item("1", "Godfather, The (1972)"), ("1972",))
    assert {"Godfather, The (1972)", "The Godfather (1972)", "The Godfather", "Godfather, The"} <= names
    assert "" not in names


def test_words_are_compared_without_case_accents_and_ampersand():
    assert forms("Amélie & the C++ 日本") == ("amelie", "and", "the", "c", "+", "+", "日本")
    assert [(w.text, w.start, w.end) for w in words("It’s Alien³!")] == [("It", 0, 2), ("s", 3, 4), ("Alien³", 5, 11)]


@given(st.text(max_size=80))
def test_a_display_name_can_be_quoted_and_is_never_empty(title):
    name = display_name(Item("x1", title))
    assert name and '"' not in name and forms(name) and "\n" not in name
