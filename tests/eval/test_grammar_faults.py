"""Grammar by a library's rules: faults are found, names are none; without the library that is said."""

from __future__ import annotations

import pytest

from recommender.errors import RecommenderError
from recommender.eval import grammar_faults
from recommender.eval.grammar_faults import grammar_measures

GOOD = 'Because you watched "Se7en the the", try "An Xylqz" (1995), a drama with Jurij Qvwx.'


def test_names_are_no_faults():
    pytest.importorskip("harper")
    measures = grammar_measures([GOOD], ["Jurij Qvwx"])
    assert measures["per_100_sentences"] == 0 and measures["rules"] == []


@pytest.mark.parametrize(("old", "new"), [("a drama", "an drama"), ("try", "try try")])
def test_faults_are_counted_with_rule_and_example(old, new):
    pytest.importorskip("harper")
    measures = grammar_measures([GOOD, GOOD.replace(f" {old}", f" {new}")], ["Jurij Qvwx"])
    assert measures["per_100_sentences"] == 50 and measures["library"].startswith("harper-py ")
    (rule,) = measures["rules"]
    assert rule["faults"] == 1 and new in rule["text"] and "Se7en" not in rule["words"]


def test_a_missing_library_is_said(monkeypatch):
    def missing(module, needed_by, extra):
        raise RecommenderError(f"{needed_by} needs the package {module}")

    monkeypatch.setattr(grammar_faults, "import_extra", missing)
    assert grammar_measures([GOOD], []) == {"not measured": "the count of grammar faults needs the package harper"}
