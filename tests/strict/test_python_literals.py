"""Literals of Python: data only, and no key twice."""

from __future__ import annotations

import pytest

from recommender.strict.python_literals import parse_literal


def test_literals_are_data():
    assert parse_literal(" {'a': [1, None, True], 2: ('b',)}") == {"a": [1, None, True], 2: ("b",)}


@pytest.mark.parametrize("text", ["{'a': 1, 'a': 2}", "[{'b': {'a': 1, 'a': 1}}]", "{1: 2, 1.0: 3}"])
def test_a_key_that_stands_twice_is_refused(text):
    with pytest.raises(ValueError, match="stands twice"):
        parse_literal(text)


@pytest.mark.parametrize("text", ["print()", "a", "{'a': b}"])
def test_what_is_no_literal_is_refused(text):
    with pytest.raises(ValueError):
        parse_literal(text)
