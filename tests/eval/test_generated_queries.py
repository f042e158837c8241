"""Generated queries: half unseen, each says what it asks for, and answers are held to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.eval.generated_queries import PHRASINGS, Constraints, GeneratedQuery, generate_queries, measure_answers

VALUES, YEARS = ["Drama", "War", "Comedy"], (1960, 1998)


def test_queries_are_evenly_over_constraints_and_half_of_them_unseen():
    queries = generate_queries(VALUES, YEARS, 180)
    assert sum(query.unseen for query in queries) == 90
    counts = {name: sum(query.constraint == name for query in queries) for name in PHRASINGS}
    assert set(counts.values()) == {20}
    assert len({query.text for query in queries}) > 100


def test_the_seed_decides_the_queries():
    assert generate_queries(VALUES, YEARS, 40, seed=2) == generate_queries(VALUES, YEARS, 40, seed=2)
    assert generate_queries(VALUES, YEARS, 40, seed=2) != generate_queries(VALUES, YEARS, 40, seed=3)


def test_no_phrasing_is_both_seen_and_unseen():
    for seen, unseen in PHRASINGS.values():
        assert seen and unseen and not set(seen) & set(unseen)


def test_a_text_names_what_is_expected():
    for query in generate_queries(VALUES, YEARS, 200):
        text, expected = query.text.casefold(), query.expected
        for value in (expected.only, expected.without):
            assert value is None or value.casefold() in text
        for year in (expected.first, expected.last):
            if year is not None and query.constraint in ("after", "before", "between", "only_after"):
                assert str(year) in text or str(year - 1) in text
        if query.constraint == "decade":
            assert f"{expected.first}s" in text and expected.last == expected.first + 9


@pytest.mark.parametrize(
    ("constraints", "values", "year", "met"),
    [
        (Constraints(first=1980, without="War"), ["Drama"], 1985, True),
        (Constraints(first=1980), ["Drama"], 1979, False),
        (Constraints(first=1980), ["Drama"], None, False),
        (Constraints(last=1980), [], 1980, True),
        (Constraints(last=1980), [], 1981, False),
        (Constraints(without="War"), ["War"], 1985, False),
        (Constraints(only="War"), ["War"], None, True),
        (Constraints(only="War"), ["Drama"], 1985, False),
        (Constraints(out=(1980, 1989)), [], 1985, False),
        (Constraints(out=(1980, 1989)), [], 1990, True),
        (Constraints(), [], None, True),
    ],
)
def test_constraints_are_met_or_not(constraints, values, year, met):
    assert constraints.met_by(values, year) is met


@given(st.integers(1900, 2020), st.integers(1900, 2020), st.integers(1900, 2020))
def test_years_are_inclusive(first, last, year):
    assert Constraints(first=first, last=last).met_by([], year) == (first <= year <= last)


QUERIES = [
    GeneratedQuery("only war", Constraints(only="War"), "only", unseen=False),
    GeneratedQuery("no war", Constraints(without="War"), "without", unseen=True),
]


def test_answers_are_counted_item_by_item():
    expected = {query.text: query.expected for query in QUERIES}
    items = [({"genres": ["War"], "mood": ["sad"]}, 1990), ({"genres": ["Drama"]}, None)]
    measured = measure_answers(QUERIES, expected.__getitem__, lambda text: items)
    assert measured["queries"] == 2 and measured["misread"] == []
    assert measured["read_right"] == {"all": 1, "seen": 1, "only": 1, "unseen": 1, "without": 1}
    assert (measured["items"], measured["items_meeting_all"]) == (4, 2)


def test_a_misread_message_is_listed_and_its_answer_not_asked_for():
    asked = []
    measured = measure_answers(QUERIES, lambda text: Constraints(only="War"), lambda text: asked.append(text) or [])
    assert measured["misread"] == ["no war"] and asked == ["only war"]
    assert measured["read_right"] == {"all": 0.5, "seen": 1, "only": 1, "unseen": 0, "without": 0}
