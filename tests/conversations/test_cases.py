"""Cases of conversations: read whole or refused with line and field."""

from __future__ import annotations

import json

import pytest

from recommender.conversations.cases import dialogue_numbers, read_cases, split
from recommender.data.catalogue import Catalogue, Item
from recommender.errors import DataError

FILMS = Catalogue(Item(str(n), f"Film {n}") for n in range(5))
SAID = [{"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "I liked Film 1"}]


def written(tmp_path, *cases):
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(f"{case if isinstance(case, str) else json.dumps(case)}\n" for case in cases))
    return path


def test_a_case_is_read_with_indices_and_what_was_named_is_no_target(tmp_path):
    path = written(tmp_path, {"messages": SAID, "named": ["1", "1"], "targets": ["1", "3"]}, "")
    (case,) = read_cases(path, FILMS)
    assert (case.number, case.named, case.targets) == (1, (1,), (3,))
    assert case.said() == "Hello! I liked Film 1" and case.said("user") == "I liked Film 1"
    assert [turn.as_message() for turn in case.turns] == SAID


def test_every_third_case_is_for_tuning(tmp_path):
    cases = [{"messages": SAID, "named": [], "targets": [str(n)]} for n in range(5)]
    tuned, reported = split(read_cases(written(tmp_path, *cases), FILMS))
    assert [case.targets for case in tuned] == [(0,), (3,)]
    assert [case.targets for case in reported] == [(1,), (2,), (4,)]


def test_the_cases_of_a_dialogue_stay_together(tmp_path):
    opening = [{"role": "user", "content": "Hello, I am looking for something like Film 1, which I saw as a child"}]
    longer = [*opening, {"role": "assistant", "content": "Film 2?"}, {"role": "user", "content": "I know that one"}]
    texts = [longer, SAID, opening, [{"role": "user", "content": "Hello"}], SAID]
    cases = read_cases(written(tmp_path, *({"messages": m, "named": [], "targets": ["1"]} for m in texts)), FILMS)
    assert dialogue_numbers(cases) == [0, 1, 0, 2, 3]
    tuned, reported = split(cases)
    assert [case.number for case in tuned] == [1, 3, 5] and [case.number for case in reported] == [2, 4]


def test_a_single_case_leaves_none_to_be_measured(tmp_path):
    cases = read_cases(written(tmp_path, {"messages": SAID, "named": [], "targets": ["1"]}), FILMS)
    with pytest.raises(DataError, match="none is left"):
        split(cases)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: expected an object"),
        ({"named": [], "targets": ["1"]}, "messages: expected a list"),
        ({"messages": [], "named": [], "targets": ["1"]}, "messages: expected a list"),
        ({"messages": SAID[:1], "named": [], "targets": ["1"]}, "messages: .* ends with the user's"),
        ({"messages": [{"role": "system", "content": "x"}], "named": [], "targets": ["1"]}, "messages: expected"),
        ({"messages": [{"role": "user", "content": 5}], "named": [], "targets": ["1"]}, "messages: expected"),
        ({"messages": SAID, "named": "1", "targets": ["1"]}, "named: expected a list of item ids"),
        ({"messages": SAID, "named": [], "targets": [1]}, "targets: expected a list of item ids"),
        ({"messages": SAID, "named": [], "targets": ["99"]}, "targets: the catalogue has no item '99'"),
        ({"messages": SAID, "named": ["1"], "targets": ["1"]}, "targets: every one was named before"),
        ({"messages": SAID, "named": [], "targets": []}, "targets: every one was named before"),
    ],
)
def test_what_is_no_case_is_refused_with_its_line(tmp_path, case, said):
    with pytest.raises(DataError, match=said):
        read_cases(written(tmp_path, case), FILMS)


def test_a_file_without_cases_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no case"):
        read_cases(written(tmp_path), FILMS)
    with pytest.raises(DataError, match=r"none\.jsonl"):
        read_cases(tmp_path / "none.jsonl", FILMS)
