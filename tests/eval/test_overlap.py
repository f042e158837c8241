"""BLEU and ROUGE as the reference implementations count them."""

from __future__ import annotations

import pytest

from recommender.errors import RecommenderError
from recommender.eval import overlap as module
from recommender.eval.overlap import overlap


def test_the_same_is_one_and_nothing_in_common_is_zero():
    text = "Because you watched this one, try that one."
    assert overlap([text], [text]) == pytest.approx({"bleu": 1, "rouge_1": 1, "rouge_2": 1, "rouge_l": 1})
    told = overlap(["a b c d e"], ["v w x y z"])
    assert told["rouge_1"] == told["rouge_l"] == 0 and told["bleu"] < 0.1
    assert overlap([], []) == {}


def test_rouge_by_hand():
    told = overlap(["the film is good"], ["the film was good"])
    assert told["rouge_1"] == told["rouge_l"] == pytest.approx(3 / 4)
    assert told["rouge_2"] == pytest.approx(1 / 3)


def test_without_the_libraries_it_is_said_what_to_install(monkeypatch):
    def library(module, name):
        raise RecommenderError(f"{name} needs the package {module}", "pip install 'recommender[eval]'")

    monkeypatch.setattr(module, "library", library)
    with pytest.raises(RecommenderError, match="sacrebleu"):
        overlap(["a"], ["a"])
