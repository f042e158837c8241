"""YAML of configs: plain data within reason, and one line for the rest."""

from __future__ import annotations

import pytest

from recommender.strict.yaml_documents import DEEPEST, parse_yaml

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1", {"a": 1}),
        ("[1, x]", [1, "x"]),
        ("a: &n {b: 1}\nc: {<<: *n, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_plain_yaml_is_read(text, value):
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "expected"),
        ("a: 1\na: 2", "the key 'a' stands twice"),
        ("a: {b: 1, b: 1}", "the key 'b' stands twice"),
        ("a: .nan", "nan is not a number"),
        ("a: [.inf]", "inf is not a number"),
        ("a: 2020-13-45", "month"),
        ("a: \x00", "(control|special) characters"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested deeper|nesting depth"),
        ("[" * 20_000, "nested deeper|nesting depth"),
        ("a: &a [*a]", "nested deeper|nesting depth"),
        (LAUGHS, "more than"),
        ("? [1]\n: 2", "unhashable"),
    ],
)
def test_the_rest_is_refused_in_one_line(text, said):
    with pytest.raises(ValueError, match=said) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)
