"""What a baseline is fitted on: content is encoded once and only if it is needed, and its absence is named."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import FitData, ItemContent
from recommender.encoders.features import Features
from recommender.errors import DataError

HISTORIES = [np.array([0, 1])]


def test_content_is_encoded_on_first_use_and_once():
    calls = []

    def encode() -> Features:
        calls.append(1)
        return Features({}, {})

    content = ItemContent(["a", "b"], encode)
    assert content.texts == ["a", "b"] and not calls
    assert content.features is content.features and calls == [1]


def test_missing_content_is_named_with_the_baseline():
    with pytest.raises(DataError, match="mine needs the items' content, and there is none") as caught:
        FitData(HISTORIES, 2).need_content("mine")
    assert caught.value.hint == "evaluate it on a catalogue"


def test_missing_text_vectors_are_named_with_what_makes_them():
    data = FitData(HISTORIES, 2, ItemContent(["a", "b"], lambda: Features({}, {})))
    with pytest.raises(DataError, match="mine needs the items' text vectors") as caught:
        data.need_text("mine")
    assert "encoders.text" in caught.value.hint


def test_text_vectors_are_those_of_the_features():
    vectors = np.ones((2, 3), np.float32)
    content = ItemContent(["a", "b"], lambda: Features({"text": vectors}, {"text": np.ones(2, bool)}))
    assert FitData(HISTORIES, 2, content).need_text("mine") is vectors
