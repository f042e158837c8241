"""Phrases that the base writes: what is kept names what it should, once, and is new."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from recommender.config import BaseConfig
from recommender.conversations.phrases import phrases_of
from recommender.pipelines.phrase_writing import WRITTEN, _kept, write_phrases

PHRASES = ("I want a {kind} {noun}", "something {kind} please")


class AllAlike:
    """An encoder to which texts are alike that share the word western."""

    def encode(self, texts):
        rows = [[0.9, 0.43589] if "western" in text else [0.0, 1.0] for text in texts]
        return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("draft", "kept"),
    [
        ("we would enjoy a western film", "we would enjoy a {kind} {noun}"),
        ("I want a western film", None),  # known
        ("western western", None),  # twice
        ("we would enjoy a film", None),  # names nothing
        ("<b>western</b> film", None),
        ("western", None),  # too short
    ],
)
def test_what_is_kept_of_a_draft(draft, kept, monkeypatch):
    monkeypatch.setattr("recommender.pipelines.phrase_writing._MOST_ALIKE", 1.1)
    assert _kept([draft, draft.upper()[:0]], PHRASES, AllAlike()) == ([] if kept is None else [kept])


def test_a_base_that_says_nothing_sensible_gives_none(llm_folder, text_folder, tmp_path):
    counts = write_phrases(
        tmp_path / "written.yaml", BaseConfig(llm=str(llm_folder), rank_layers=2), str(text_folder), rounds=1
    )
    written = yaml.safe_load((tmp_path / "written.yaml").read_text())
    assert set(counts) == set(written) == set(WRITTEN) and sum(counts.values()) == 0
    assert all(phrases_of("en").group(group) for group in WRITTEN)
