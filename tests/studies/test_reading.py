"""The study of justifications as files: every figure stands in metrics.json, and the sheet is blind."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.studies.justifications import study_justifications
from recommender.studies.reading import Readers
from recommender.studies.reading_report import compare, headline, write_study


@pytest.fixture
def model(make_checkpoint) -> Recommender:
    return Recommender(make_checkpoint())


def test_the_study_is_written_whole(model, histories, tmp_path):
    study = study_justifications(model, histories[:2], k=3)
    metrics = write_study(
        tmp_path, model.catalogue, {"users": 2, "k": 3, "seed": 5}, {"it": (study.measures, study.of_users)}, None
    )
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert metrics["about"]["seed"] == 5 and {"numpy", "harper-py"} <= set(metrics["versions"])
    measures = metrics["systems"]["it"]
    assert measures["patterns"]["texts"] == 6 and 0 <= measures["telling"]["vacuous"] <= 1
    lines = [json.loads(line) for line in (tmp_path / "justifications.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and all(line["true"] and line["bits"] >= 0 and line["pattern"] for line in lines)
    assert lines[0]["pattern"] and not (tmp_path / "key.json").exists()
    assert "it: texts" in (tmp_path / "report.html").read_text()
    assert headline(study.measures)["justifications"] == "6"


def test_two_systems_justify_the_same_items_and_plain_ones_need_no_model(model, histories):
    study = study_justifications(model, histories[:2], k=3)
    names = ("model", "plain")
    compared = compare(model, study, histories[:2], names, None, seed=1)
    first, second = ([j.evidence.item for of_user in of for j in of_user] for of in (study.of_users, compared.of_users))
    assert first == second and all(j.source == "plain" for of_user in compared.of_users for j in of_user)
    again = compare(model, study, histories[:2], ("model", "again"), model, seed=1)
    assert len(again.sheet.rows) + again.sheet.key["same_text"] == 6


def test_models_of_two_catalogues_are_not_compared(model, histories):
    study = study_justifications(model, histories[:1], k=1)
    other = SimpleNamespace(catalogue=Catalogue(list(model.catalogue)[:-1]))
    with pytest.raises(DataError, match="knows other items"):
        compare(model, study, histories[:1], ("a", "b"), other, seed=1)


def test_readers_know_kinds_as_people_say_them(catalogue):
    readers = Readers.of(catalogue)
    assert len(readers.subjects) == len(catalogue) and any(form.islower() for form in readers.grounding.spoken)
