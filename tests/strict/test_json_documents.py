"""JSON that has one meaning: what is refused, what files may hold, and what is written."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import CheckpointError, DataError
from recommender.strict.json_documents import DEEPEST, JsonError, json_text, parse_json, parse_request, read_json_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("{} {}", "Extra data"),
        ("NaN", "NaN is not a JSON number"),
        ('{"a": [Infinity]}', "Infinity is not"),
        ("[-Infinity]", "-Infinity is not"),
        ("1e999", "too large"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice"),
        ('{"a": 1, "a": 1}', "the key 'a' stands twice"),
        ('{"a": 1, "\\u0061": 2}', "the key 'a' stands twice"),
        ("1" * 5000, "thousands of digits"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 100_000, "nested deeper"),
        (b"\xff\xfe1\x00", "not UTF-8"),
        ('{"a": "x\ny"}', "Invalid control character"),
    ],
)
def test_what_is_no_json_or_has_two_meanings_is_refused(raw, said):
    with pytest.raises(JsonError, match=said) as error:
        parse_json(raw)
    assert "\n" not in str(error.value) and not error.value.is_json


def test_byte_order_marks_and_nesting_within_reason_are_read():
    assert parse_json("\ufeff[1]") == parse_json(b"\xef\xbb\xbf[1]") == [1]
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)


@pytest.mark.parametrize(
    ("raw", "field"), [('{"a": ["b", "\\u0000"]}', "a.1"), ('"\\ud800"', None), ('{"\\u0007": 1}', "body")]
)
def test_requests_hold_no_control_characters_and_files_may(raw, field):
    assert parse_json(raw) is not None
    with pytest.raises(JsonError, match="control character") as error:
        parse_request(raw)
    assert error.value.field == field and error.value.is_json


def test_files_of_earlier_versions_may_hold_nan():
    assert parse_json('{"a": NaN, "b": [-Infinity]}', nan_is_null=True) == {"a": None, "b": [None]}


@given(VALUES)
def test_what_is_written_is_json_that_can_be_read_and_stored(value):
    text = json_text({"value": value})
    assert text.encode() and "\n" not in text
    read = parse_json(text)["value"]
    assert json_text(read) == json_text(value)


def test_numbers_that_json_does_not_know_become_null():
    assert json.loads(json_text({"a": (math.nan, math.inf, -math.inf, 1.5), "b": {"c": math.nan}})) == {
        "a": [None, None, None, 1.5],
        "b": {"c": None},
    }


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'"a"', b"null", b"\x00\xff", b"[" * 10_000, b'{"a": 1, "a": 2}', None]
)
def test_a_file_that_is_none_is_one_line_of_the_error_asked_for(tmp_path, content):
    path = tmp_path / "x.json"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for error_class in (DataError, CheckpointError):
        with pytest.raises(error_class, match=r"x\.json: (is no thing|cannot be read)") as error:
            read_json_object(path, "thing", "make one", error_class)
        assert "\n" not in error.value.message and error.value.hint == "make one"
    with pytest.raises(DataError, match="cannot be read"):
        read_json_object(tmp_path / "gone.json", "thing")
