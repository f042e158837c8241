"""BLEU and ROUGE as the reference implementations count them."""

from __future__ import annotations

import sys

import pytest

from recommender.errors import RecommenderError
from recommender.eval.text_overlap import text_overlap


def test_the_same_is_one_and_nothing_in_common_is_zero():
    text = "Because you watched this one, try that one."
    assert text_overlap([text], [text]) == pytest.approx({"bleu": 1, "rouge_1": 1, "rouge_2": 1, "rouge_l": 1})
    told = text_overlap(["a b c d e"], ["v w x y z"])
    assert told["rouge_1"] == told["rouge_l"] == 0 and told["bleu"] < 0.1
    assert text_overlap([], []) == {}


def test_rouge_by_hand():
    told = text_overlap(["the film is good"], ["the film was good"])
    assert told["rouge_1"] == told["rouge_l"] == pytest.approx(3 / 4)
    assert told["rouge_2"] == pytest.approx(1 / 3)


def test_without_the_libraries_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(RecommenderError, match="BLEU needs the package sacrebleu") as error:
        text_overlap(["a"], ["a"])
    assert error.value.hint == "pip install 'recommender[eval]'"
