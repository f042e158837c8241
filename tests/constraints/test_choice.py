"""Choice: only what begins one of the texts may follow, and what must follow is not asked about."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from recommender.constraints.choice import choose, decisions

OPTIONS = {"liked": [1, 2], "likely": [1, 3, 4], "seen": [5], "none": [6, 7, 8]}


def test_the_greedy_text_and_its_probability():
    logits = {(): {1: 1.0, 5: 0.5, 6: 0.2}, (1,): {2: 0.0, 3: 2.0}}
    asked = []

    def likely(prefix, tokens):
        asked.append((tuple(prefix), tuple(tokens)))
        row = np.array([logits[tuple(prefix)][token] for token in tokens])
        return (np.exp(row) / np.exp(row).sum()).tolist()

    text, share = choose(OPTIONS, likely)
    first = math.exp(1.0) / sum(map(math.exp, (1.0, 0.5, 0.2)))
    assert text == "likely" and share == pytest.approx(first * math.exp(2) / (1 + math.exp(2)))
    assert asked == [((), (1, 5, 6)), ((1,), (2, 3))]


def test_every_text_can_be_chosen_and_nothing_else():
    for wanted in OPTIONS:
        ids = OPTIONS[wanted]

        def likely(prefix, tokens, ids=ids):
            return [float(token == ids[len(prefix)]) for token in tokens]

        assert choose(OPTIONS, likely) == (wanted, 1.0)


def test_texts_that_no_token_tells_apart_are_not_asked_about():
    def likely(prefix, tokens):
        raise AssertionError("nothing to choose")

    assert choose({"one": [9], "two": [9]}, likely)[0] == "one"


def test_decisions_are_where_texts_part():
    assert decisions(OPTIONS, "liked") == [0, 1] and decisions(OPTIONS, "none") == [0]
    for chosen, place in itertools.product(OPTIONS, range(3)):
        ids = OPTIONS[chosen]
        others = {tuple(o[: place + 1]) for o in OPTIONS.values() if o[:place] == ids[:place] and len(o) > place}
        assert (place in decisions(OPTIONS, chosen)) is (place < len(ids) and len(others) > 1)
