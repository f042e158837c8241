"""What commands say of many machines before anything is loaded."""

import json

import pytest

from tests.cli.conftest import refused


@pytest.fixture
def parts(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(2):
        request = {"custom_id": f"r{number}", "history": ["103"], "k": 2, "explain": False}
        (tmp_path / "in" / f"part-{number}.jsonl").write_text(json.dumps(request) + "\n")
    return ("--input", tmp_path / "in", "--output", tmp_path / "out")


def test_batch_answers_a_folder_and_tells_broken_parts_by_its_exit_code(run, trained, parts, tmp_path):
    code, out, err = run("batch", trained, *parts, "--json", "-q")
    assert code == 0, err
    assert json.loads(out) == [{"parts": 2, "failed": 0, "lines": 2, "written_now": 2, "errors": 0}]
    (tmp_path / "in" / "broken.parquet").write_bytes(b"PAR1 and nothing more")
    code, out, err = run("batch", trained, *parts, "--json", "-q")
    assert code == 2 and json.loads(out)[0] == {"parts": 2, "failed": 1, "lines": 2, "written_now": 0, "errors": 0}
    assert "error: " in err and "broken.parquet: not a readable parquet file" in err


def test_what_belongs_to_ray_is_refused_without_it(run, trained, recipe, parts, tmp_path):
    for command in (("batch", trained, *parts), ("encode", "--config", recipe)):
        refused(run(*command, "--ray-address", "auto", "-q"), "--ray-address is an option of --on ray")


def test_one_file_is_no_work_for_many_machines(run, trained, parts, tmp_path):
    one = ("--input", tmp_path / "in" / "part-0.jsonl", "--output", tmp_path / "out.jsonl")
    refused(run("batch", trained, *one, "--on", "ray", "-q"), "is one file", "split")


def test_a_ray_that_cannot_be_reached_is_one_line(run, trained, recipe, parts, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    nowhere = ("--on", "ray", "--ray-address", "127.0.0.1:1", "-q")
    for command in (
        ("batch", trained, *parts),
        ("encode", "--config", recipe),
        ("evaluate", trained, "popularity", "--output", tmp_path / "report"),
    ):
        refused(run(*command, *nowhere), "the Ray at 127.0.0.1:1 cannot be reached", "--ray-address")
    assert not (tmp_path / "out").exists()
