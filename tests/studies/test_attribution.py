"""The study of attribution: every medium is measured, the model is as before, and its files stand alone."""

import json

import numpy as np
import pytest

from recommender.attribution import MediaOptions
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.studies.attribution import attribution_study, first_case, random_projector
from recommender.studies.attribution_curves import MEASURES
from recommender.studies.attribution_report import headline, said, write_attribution

FOUR = MediaOptions(rows=2, columns=2)
HISTORIES = [np.array(history) for history in ([2, 7, 12], [5], [1, 8, 9])]


def test_both_media_are_measured_and_reported(media_engine, tmp_path):
    measured = attribution_study(media_engine, HISTORIES, FOUR)
    assert set(measured["media"]) == {"image", "audio"} and measured["seconds"]["reports"] == 3
    for of in measured["media"].values():
        assert of["cases"] == 3 and set(of["compared"]) == set(MEASURES)
        assert of["rank correlation with another seed"]["mean"] == pytest.approx(1.0)  # four regions are exact
        assert of["rank correlation with a random projector"]["mean"] < 1
    measured["planted"] = {"image": {"cases": 4, "hits": 3, "by chance": 0.1, "accuracy": 0.9}}
    assert write_attribution(tmp_path, measured) == json.loads((tmp_path / "metrics.json").read_text())
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png") == 2 and "http" not in page and "Planted cases" in page
    assert len(headline(measured)) == 2 * len(MEASURES) and "image, planted: 3 of 4 hit" in said(measured)[2]


def test_the_map_of_a_region_that_is_all_is_better_than_chance(media_engine):
    """Deletion in the map's own order falls at least as fast as in random ones, where values are exact."""
    compared = attribution_study(media_engine, HISTORIES, FOUR)["media"]["image"]["compared"]
    assert compared["deletion"]["better than random"]["mean"] > 0
    assert compared["insertion"]["better than random"]["mean"] > 0


def test_a_random_projector_changes_the_map_and_leaves_no_trace(media_engine):
    case = first_case(media_engine, "image", HISTORIES[0], 0, FOUR)
    sets = np.array([[True] * 4, [True, False, False, True]])
    before = case.scores(sets)
    with random_projector(media_engine, "image", 0):
        within = case.scores(sets)
    assert np.abs(within - before).max() > 1e-3
    np.testing.assert_array_equal(case.scores(sets), before)


def test_without_media_the_study_says_why(make_checkpoint, media_engine):
    with pytest.raises(DataError, match="train it again|made elsewhere|no picture|no sound"):
        attribution_study(Recommender(make_checkpoint()), HISTORIES, FOUR)


def test_planted_cases_alone_are_a_report_too(tmp_path):
    planted = {"planted": {"audio": {"cases": 4, "hits": 3, "by chance": 0.1, "accuracy": 0.9}}}
    assert write_attribution(tmp_path, planted)["planted"] == planted["planted"]
    assert "Planted cases" in (tmp_path / "report.html").read_text() and headline(planted) == []
