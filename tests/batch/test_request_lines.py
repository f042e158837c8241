"""The lines of a batch, in both forms; nothing that stands in a line raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.batch.request_lines import FAILED, INVALID, URL, answer_line, read_line
from recommender.engine import RankedItem, Response
from recommender.errors import DataError

ITEM = RankedItem(1, "103", "The Red Night", -1.5, "because", "model", {"claims": []})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_line_is_a_request_with_an_id():
    line = read_line(7, '{"custom_id": "a", "history": [50, "181"], "k": 3, "filters": {"genres": "drama"}}')
    assert (line.number, line.custom_id, line.error, line.wrapped) == (7, "a", None, False)
    assert line.request.history == ("50", "181") and line.request.k == 3
    assert line.request.filters == {"genres": ("drama",)} and line.request.explain


def test_a_line_may_switch_parts_off():
    assert read_line(1, '{"custom_id": "a", "without": ["image", "history"]}').request.without == ("image", "history")
    assert "without" in read_line(1, '{"custom_id": "a", "without": ["pictures"]}').error
    assert "without" in read_line(1, '{"custom_id": "a", "without": "image"}').error


def test_a_line_of_the_openai_form_is_unwrapped():
    raw = json.dumps({"custom_id": 5, "method": "POST", "url": URL, "body": {"model": "m", "k": 3}})
    line = read_line(1, raw)
    assert line.wrapped and line.custom_id == "5" and line.request.k == 3


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ("{", "line 3 is not valid JSON"),
        ('{"custom_id": "a", "k": NaN}', "not a JSON number"),
        ("[" * 100_000, "line 3 is not valid JSON"),
        ("[]", "no JSON object but list"),
        ('"a"', "no JSON object but str"),
        ("{}", "no custom_id"),
        ('{"custom_id": null}', "no custom_id"),
        ('{"custom_id": true}', "no custom_id"),
        ('{"custom_id": ""}', "no custom_id"),
        ('{"custom_id": ["a"]}', "no custom_id"),
        ('{"custom_id": "a", "k": 0}', "k: "),
        ('{"custom_id": "a", "histroy": []}', "histroy: "),
        ('{"custom_id": "a", "url": "/v1/embeddings", "body": {}}', URL),
        ('{"custom_id": "a", "url": "/v1/recommendations"}', URL),
        ('{"custom_id": "a", "url": "/v1/recommendations", "body": []}', URL),
    ],
)
def test_what_is_wrong_with_a_line_is_said_in_its_answer(raw, part):
    line = read_line(3, raw)
    assert line.request is None and part in line.error and "\n" not in line.error


@given(st.text() | JSON.map(json.dumps) | st.dictionaries(st.text(), JSON).map(json.dumps))
def test_no_line_raises(raw):
    line = read_line(1, raw)
    assert (line.request is None) == (line.error is not None)


def test_answers_have_the_form_of_their_line():
    plain, wrapped = read_line(1, {"custom_id": "a"}), read_line(2, {"custom_id": "b", "url": URL, "body": {}})
    answer = answer_line(plain, Response((ITEM,), ("cut",)))
    assert answer["custom_id"] == "a" and answer["notes"] == ["cut"]
    assert answer["items"][0]["item_id"] == "103" and answer["items"][0]["evidence"] == {"claims": []}
    assert answer["generated"] is True
    assert "notes" not in answer_line(plain, Response((ITEM,)))
    answer = answer_line(wrapped, Response((ITEM,)))
    assert answer["custom_id"] == "b" and answer["id"] == "batch-2" and answer["error"] is None
    assert answer["response"]["status_code"] == 200 and answer["response"]["request_id"] == "line-2"
    assert answer["response"]["body"]["items"][0]["title"] == "The Red Night"


@pytest.mark.parametrize(
    ("failure", "code", "status"), [(DataError("wrong", "do this"), INVALID, 400), ("KeyError: 1", FAILED, 500)]
)
def test_failures_are_the_requests_fault_or_ours(failure, code, status):
    error = {"code": code, "message": str(failure)}
    assert answer_line(read_line(1, {"custom_id": "a"}), failure) == {"custom_id": "a", "error": error}
    wrapped = answer_line(read_line(1, {"custom_id": "a", "url": URL, "body": {}}), failure)
    assert wrapped["response"]["status_code"] == status and wrapped["response"]["body"] == {"error": error}


ODD = ['"k": NaN', '"k": 1, "k": 2', '"boosts": {"1": 1e999}', '"query": "\\u0000"', '"k": [[[[]]]]']


@pytest.mark.parametrize("more", ODD)
def test_a_line_that_is_refused_keeps_its_name(more):
    line = read_line(1, f'{{"custom_id": "a", {more}}}')
    assert line.request is None and line.custom_id == "a" and line.error
