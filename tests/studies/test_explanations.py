"""The study of explanations: sheets for people hold every system's text, and simulated people gain from adapting."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.studies.adaptation import SYSTEMS, AdaptationSettings, study_adaptation
from recommender.studies.explanations import (
    adaptation_rows,
    explained_items,
    scale_rows,
    scales_report,
    write_explanations,
)


@pytest.fixture(scope="module")
def histories():
    return [np.arange(start, start + 4) for start in range(6)]


def test_sheets_hold_the_texts_of_all_systems(make_checkpoint, histories, tmp_path):
    model = Recommender(make_checkpoint())
    explained = explained_items("mine", model, {"plain": None, "none": None}, histories[:2], 2)
    assert len(explained) == 4 and all(one.texts["mine"] and one.texts["plain"] for one in explained)
    assert all(one.texts["none"] == "" for one in explained)
    metrics = write_explanations(tmp_path, explained, 3, 0, None)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text()) and metrics["adaptation"] is None
    texts = {
        row["text"]
        for reader in (1, 2, 3)
        for row in csv.DictReader((tmp_path / "sheets" / f"reader-{reader}.csv").open(encoding="utf-8-sig"))
    }
    assert texts == {text for one in explained for text in one.texts.values()}
    assert "recommender study scales" in (tmp_path / "report.html").read_text()


def test_models_of_two_catalogues_cannot_be_compared(make_checkpoint, histories):
    model, other = Recommender(make_checkpoint()), Recommender(make_checkpoint())
    other.setup.catalogue = type(other.catalogue)(list(other.catalogue)[:-1])
    with pytest.raises(DataError, match="other knows other items"):
        explained_items("mine", model, {"other": other}, histories, 1)


def test_simulated_people_mark_texts_and_explanations_follow_and_tell_nothing_false(
    make_checkpoint, histories, tmp_path
):
    model = Recommender(make_checkpoint())
    measured = study_adaptation(model, histories, AdaptationSettings(rounds=3, texts=2, seed=1))
    assert tuple(measured["systems"]) == SYSTEMS and measured["about"]["people"] == len(histories)
    configured, adapts, _ = (measured["systems"][name] for name in SYSTEMS)
    assert adapts["rounds"][0] == configured["rounds"][0], "nothing is known before the first mark"
    assert adapts["rounds"] != configured["rounds"], "and then the marks are followed"
    assert all(0 <= cell["low"] <= cell["mean"] <= cell["high"] <= 1 for cell in adapts["rounds"])
    assert all(of_system["false"] == 0 for of_system in measured["systems"].values())
    assert measured == study_adaptation(model, histories, AdaptationSettings(rounds=3, texts=2, seed=1))
    assert [row["explained"] for row in adaptation_rows(measured)] == list(SYSTEMS)
    explained = explained_items("mine", model, {"plain": None}, histories[:1], 2)
    write_explanations(tmp_path, explained, 2, 0, measured)
    assert (tmp_path / "report.html").read_text().count("data:image/png") == 1


def test_what_people_marked_is_a_table_and_a_page():
    cell = {"mean": 4.0, "low": 3.5, "high": 4.5}
    nothing = {"mean": None, "low": None, "high": None}
    scales = [
        {"scale": "trust", "readers": 3, "systems": {"a": cell, "b": cell}, "less a": {"b": cell}},
        {"scale": "gap", "readers": 0, "systems": {"a": nothing, "b": nothing}, "less a": {"b": nothing}},
    ]
    read = {"systems": ["a", "b"], "readers": 3, "few": True, "scales": scales}
    assert scale_rows(read)[0]["b less a"] == "+4.00 (+3.50 to +4.50)" and scale_rows(read)[1]["a"] == "not marked"
    report = scales_report(read)
    assert len(report.parts) == 2 and any("Few readers" in note for note in report.notes)
