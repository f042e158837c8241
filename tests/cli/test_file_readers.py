"""Files that a user hands in: whatever is in them, the answer is one clear line that names the file."""

from __future__ import annotations

import json
import os
import random
import shutil

import pytest

from tests.cli.conftest import refused

DEEP = b"[" * 50_000
CONTENTS = {
    "empty": b"",
    "blank": b" \n\n",
    "binary": bytes(range(256)) * 8,
    "NUL": b"\x00" * 100,
    "not UTF-8": b'{"a": "\xe9"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "cut off": b'{"format": 2, "model": {"sou',
    "deep list": DEEP,
    "deep object": b'{"a":' * 50_000,
    "closed deep list": b"[" * 900 + b"]" * 900,
    "a list": b"[1, 2]",
    "a list of objects": b'[{"a": 1}]',
    "a text": b'"a"',
    "a number": b"5",
    "null": b"null",
    "NaN": b'{"a": NaN}',
    "a key twice": b'{"history": [], "history": ["1"]}',
    "huge number": b'{"a": ' + b"9" * 5000 + b"}",
    "beyond floats": b'{"a": 1e999}',
    "wrong types": b'{"format": [], "model": [], "request": "x", "items": 5, "explains": {}, "files": [], "catalogue": 1}',
}
NOT_FILES = ["a folder", "gone", "unreadable"]


def made(path, name):
    """Make what is called `name` at a path."""
    path.parent.mkdir(exist_ok=True)
    if name == "a folder":
        path.mkdir()
    elif name == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path.write_text("{}")
        path.chmod(0)
    elif name != "gone":
        path.write_bytes(CONTENTS[name])
    return path


def one_line(result, path):
    refused(result, str(path))
    assert len(result[2].splitlines()[0]) < 600


@pytest.mark.parametrize("name", [*CONTENTS, *NOT_FILES])
def test_a_trace(run, tmp_path, name):
    path = made(tmp_path / "trace.json", name)
    one_line(run("replay", path, "-q"), path)


@pytest.mark.parametrize("name", [*CONTENTS, *NOT_FILES])
def test_vectors(run, tmp_path, name):
    path = made(tmp_path / "vectors.json", name)
    code, out, err = run("recommend", tmp_path / "no model", "--vectors", path, "-q")
    assert code == 2 and out == "" and len(err.splitlines()) <= 2
    assert str(path) in err or "vectors" in err


@pytest.mark.parametrize("name", [name for name in [*CONTENTS, *NOT_FILES] if name not in ("empty", "blank", "null")])
def test_a_config(run, tmp_path, name):
    path = made(tmp_path / "recipe.yaml", name)
    one_line(run("train", "--config", path, "--output", tmp_path / "out", "-q"), path)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "seed: 1\nseed: 2",
        "seed: .nan",
        "data: {minimum_rating: .inf}",
        "training: {stages: [1]}",
        "training: []",
        "data: x",
        "? {a: 1}\n: 2",
        "!!python/name:os.system",
        "a: &a [x, x]\nb: &b [" + "*a, " * 400 + "x]\nc: [" + "*b, " * 400 + "x]",
    ],
)
def test_yaml_that_is_no_config(run, tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    one_line(
        run("train", "--config", tmp_path / "recipe.yaml", "--output", tmp_path / "out", "-q"), tmp_path / "recipe.yaml"
    )


@pytest.mark.parametrize("value", ["[" * 20_000, "&a [*a]", ".nan", "{a: 1, a: 2}", "[1", "\x01"])
def test_a_setting_that_is_no_value(run, recipe, value):
    refused(run("train", "--config", recipe, "--output", "out", "--set", f"seed={value}", "-q"), "--set")


@pytest.mark.parametrize("name", CONTENTS)
def test_a_manifest(run, trained, tmp_path, name):
    broken = tmp_path / "model"
    shutil.copytree(trained, broken)
    made(broken / "checkpoint.json", name)
    one_line(run("recommend", broken, "--no-explain", "-q"), broken / "checkpoint.json")
    one_line(run("evaluate", broken, "popularity", "--output", tmp_path / "out", "-q"), broken)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("file", ["metrics.json", "item_ids.json", "config.yaml"])
def test_a_file_of_a_checkpoint_is_checked_before_it_is_read(run, trained, tmp_path, name, file):
    broken = tmp_path / "model"
    shutil.copytree(trained, broken)
    made(broken / file, name)
    refused(run("recommend", broken, "--no-explain", "-q"), f"the file {file} is damaged")


@pytest.mark.parametrize("file", ["metrics.json", "item_ids.json", "config.yaml"])
def test_a_file_that_the_manifest_does_not_vouch_for_is_no_traceback(run, trained, tables, tmp_path, file):
    """Somebody took the file out of the manifest: what is in it is still read with care."""
    broken = tmp_path / "model"
    shutil.copytree(trained, broken)
    manifest = json.loads((broken / "checkpoint.json").read_text())
    del manifest["files"][file]
    (broken / "checkpoint.json").write_text(json.dumps(manifest))
    for name, content in CONTENTS.items():
        if file == "config.yaml" and name in ("empty", "blank", "null"):
            continue  # all defaults
        (broken / file).write_bytes(content)
        command = ("extend", broken, "--items", tables / "items.csv", "--output", tmp_path / "out")
        code, _, err = run(*command, "-q")
        if code:
            assert code == 2 and len(err.splitlines()) <= 2, (name, err)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("name", [*CONTENTS, *NOT_FILES])
def test_targets(run, tables, tmp_path, name):
    for suffix in ("csv", "jsonl", "parquet"):
        path = made(tmp_path / suffix / f"targets.{suffix}", name)
        data = ("--items", tables / "items.csv", "--interactions", tables / "interactions.csv")
        code, _, err = run("evaluate", "popularity", *data, "--test", path, "--output", tmp_path / "out", "-q")
        assert code == 2 and len(err.splitlines()) <= 2 and path.name in err, err


@pytest.mark.parametrize("name", [*CONTENTS, *NOT_FILES])
def test_a_batch_that_is_none(run, trained, tmp_path, name):
    """A file that is no file of requests is one line; lines that are none are answered in their place."""
    for suffix in ("jsonl", "parquet"):
        path, output = made(tmp_path / suffix / f"in.{suffix}", name), tmp_path / suffix / "out.jsonl"
        code, _, err = run("batch", trained, "--input", path, "--output", output, "-q")
        if code:
            assert code == 2 and len(err.splitlines()) <= 2 and str(path) in err, err
            continue
        answers = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert suffix == "jsonl" and all(answer["error"]["code"] == "invalid_request" for answer in answers)


@pytest.mark.parametrize("name", [*CONTENTS, *NOT_FILES])
def test_a_feedback_file(run, trained, tmp_path, name):
    """What holds something else is not added to."""
    path = made(tmp_path / "feedback.jsonl", name)
    told = run("feedback", trained, "not for me", "--item", "103", "--user", "ann", "--file", path)
    if name in ("empty", "blank", "gone", "cut off", "deep object"):  # the last two: a kill left them so
        assert told[0] == 0, told[2]
    else:
        before = path.read_bytes() if path.is_file() else None
        one_line(told, path)
        assert before is None or before == CONTENTS[name]


def test_a_good_file_cut_anywhere_or_with_a_byte_changed(run, trained, tmp_path):
    """A trace, a manifest and a config with a random wound: read as what they still say, or refused in a line."""
    draw = random.Random(18)
    kept = tmp_path / "trace.json"
    assert run("recommend", trained, "--history", "103,107", "--k", 2, "--no-explain", "--trace", kept, "-q")[0] == 0
    whole = kept.read_bytes()
    for _ in range(25):
        place = draw.randrange(len(whole))
        wounded = (
            whole[:place] if draw.random() < 0.5 else whole[:place] + bytes([draw.randrange(256)]) + whole[place + 1 :]
        )
        (tmp_path / "wounded.json").write_bytes(wounded)
        code, _, err = run("replay", tmp_path / "wounded.json", "--model", tmp_path / "no model", "-q")
        assert code == 2 and len(err.splitlines()) <= 2, err
