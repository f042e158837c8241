"""Justifications: trained again, tuned, measured, checked with planted errors; their former name still works."""

import json
import shutil

import pytest


@pytest.fixture
def model(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "mine")


def test_measured_justifications_are_printed_and_written(run, model, tmp_path):
    path = tmp_path / "truth.json"
    code, out, _ = run("justifications", "evaluate", model, "--users", 2, "--k", 2, "--output", path, "--json", "-q")
    measured = json.loads(out)
    assert code == 0 and json.loads(path.read_text()) == measured
    code, out, _ = run("justifications", "evaluate", model, "--users", 2, "--k", 2, "-q")
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert code == 0 and set(lines) == set(measured)


def test_planted_errors_under_the_former_name_of_the_group(run, model):
    code, out, _ = run("reasons", "plant", model, "--count", 20, "--json")
    assert code == 0 and json.loads(out)
    assert json.loads(out) == json.loads(run("justifications", "plant", model, "--count", 20, "--json")[1])


def test_dialogues(run, model):
    code, out, _ = run("justifications", "dialogues", model, "--count", 5, "--json", "-q")
    assert code == 0 and json.loads(out)


def test_tuning_keeps_its_counts_in_the_checkpoint(run, model):
    code, out, _ = run("justifications", "tune", model, "--drafts", 4, "--json", "-q")
    rows = json.loads(out)
    assert code == 0 and rows and {"template", "drafts", "passed", "used"} == set(rows[0])
    assert all(0 <= row["passed"] <= row["drafts"] for row in rows)
    assert rows[0]["template"] in (model / "metrics.json").read_text()


def test_the_writer_is_trained_again_and_the_ranking_stays(run, model, tmp_path):
    target = tmp_path / "again"
    code, out, _ = run("justifications", "train", model, "--output", target, "--examples", 20, "--json", "-q")
    (stage,) = json.loads(out)
    assert code == 0 and stage["stage"] == "explain"
    asked = ("--history", "103,107", "--k", 5, "--no-explain", "--json", "-q")
    assert run("recommend", target, *asked)[1] == run("recommend", model, *asked)[1]


def test_counts_of_what_many_had_together_are_kept_in_the_checkpoint_or_in_a_copy(run, model, tmp_path):
    counted = json.loads(run("justifications", "companions", model, "--json")[1])
    assert counted["of_items"] == 20 and counted["kept_in"] == str(model) and counted["liked"] is False
    copy = tmp_path / "copy"
    code, out, _ = run("justifications", "companions", model, "--output", copy)
    assert code == 0 and str(copy) in out
    assert (copy / "companions.safetensors").read_bytes() == (model / "companions.safetensors").read_bytes()
