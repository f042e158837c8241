"""Names as people write them: still to be recognised, and the same for the same draw."""

from __future__ import annotations

import numpy as np
from rapidfuzz.distance import DamerauLevenshtein

from recommender.conversations.spelling import spelled, with_typo


def test_names_are_written_in_all_the_ways():
    random = np.random.default_rng(0)
    found = {spelled("The Baker: A Life (1970)", "1970", random) for _ in range(200)}
    assert found == {
        "The Baker: A Life (1970)",
        "The Baker: A Life",
        "Baker: A Life",
        "the baker: a life",
        "The Baker",
    }


def test_a_slip_is_one_edit_and_short_texts_have_none():
    random = np.random.default_rng(0)
    text = "a quiet evening with friends"
    slips = {with_typo(text, random) for _ in range(100)}
    assert len(slips) > 20 and all(DamerauLevenshtein.distance(text, slip) <= 1 for slip in slips)
    assert with_typo("short", random) == "short"
