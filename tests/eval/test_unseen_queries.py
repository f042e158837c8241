"""Phrasings that no training reads: descriptions do not give away the value, and training knows none of them."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.eval.unseen_queries import NAMED, OTHER_WORDS
from recommender.training.query_synthesis import QuerySynthesizer


def test_other_words_do_not_name_what_they_mean():
    for value, lines in OTHER_WORDS.items():
        assert len(lines) > 1
        assert not any(value in line.casefold() for line in lines)
    assert all("{a}" in line for line in NAMED)


def test_no_description_stands_for_two_values():
    descriptions = [line for lines in OTHER_WORDS.values() for line in lines]
    assert len(descriptions) == len(set(descriptions))


def test_values_are_written_as_they_are_looked_up():
    assert all(value == value.casefold() for value in OTHER_WORDS)


@pytest.mark.parametrize("value", ["comedy", "drama"])
def test_training_reads_none_of_them(catalogue, value):
    synthesizer, random = QuerySynthesizer(catalogue, "films"), np.random.default_rng(0)
    trained_on = {synthesizer.query_for("genres", value, random).text.casefold() for _ in range(300)}
    assert len(trained_on) > 3 and all(value in text for text in trained_on)
    unseen = {text.format(a=value).casefold() for text in (*NAMED, *OTHER_WORDS[value])}
    assert not trained_on & unseen
