"""Every example runs on the embedded data, with few steps where it trains, and shows what it promises."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType

import nbformat
import pytest

from recommender import cli
from tests.docs.markdown import ROOT
from tests.docs.outputs import assert_alike

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.assets


def example(name: str) -> ModuleType:
    path = next(folder / f"{name}.py" for folder in (EXAMPLES, ROOT / "docs/make") if (folder / f"{name}.py").is_file())
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_says_what_it_shows_and_how_to_run_it():
    for path in EXAMPLES.glob("*.py"):
        assert f"python examples/{path.name}" in (example(path.stem).__doc__ or ""), path.name


def test_own_tables(tmp_path, capsys):
    module = example("own_tables")
    module.USERS = 20
    module.main(tmp_path, steps=2)
    printed = capsys.readouterr().out
    assert "200 items" in printed and "no errors" in printed
    films = [line for line in printed.splitlines() if line[:2] in ("1 ", "2 ", "3 ")]
    assert len(films) == 3
    assert all(" - " in film for film in films)


def test_fine_tune_adapter(tmp_path, capsys):
    example("fine_tune_adapter").main(tmp_path / "tuned", users=60, steps=2, evaluated=20)
    printed = capsys.readouterr().out
    assert "stage rank: 2 steps" in printed
    assert all(name in printed for name in ("tuned", "popularity", "sequential-item-knn"))


def test_chat_with_openai_client(shipped_server, capsys):
    example("chat_with_openai_client").main(
        f"http://127.0.0.1:{shipped_server}/v1", ("no horror, nothing before 1980, only 2",)
    )
    printed = capsys.readouterr().out
    assert printed.count("  item ") == 2
    assert printed.count("you> ") == 2
    assert "Comedy" in printed.split("you> a comedy, only 2")[1]


def test_offline_batch(tmp_path, capfd, monkeypatch):
    module = example("offline_batch")
    monkeypatch.setattr(module.subprocess, "run", run_here)
    module.main(tmp_path)
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [len(answer.get("items", ())) for answer in answers] == [3, 3, 3, 0]
    printed = capfd.readouterr().out
    assert "a space fan: " in printed
    assert "a typing error: unknown item id 'no-such-film'" in printed


def run_here(command, check):
    """Run a command of the package in this process: another one would import and load all of it anew."""
    assert command[:3] == [sys.executable, "-m", "recommender"] and check
    code = cli.app(args=command[3:], standalone_mode=False)
    assert not code, f"{command}: exit code {code}"


@pytest.mark.slow
def test_the_notebook_shows_what_it_prints():
    path = EXAMPLES / "explore_recommendations.ipynb"
    shown, run = nbformat.read(path, as_version=4), example("notebook").executed(path)
    for before, after in zip(shown.cells, run.cells, strict=True):
        if before.cell_type == "code":
            assert [output.output_type for output in before.outputs] == [output.output_type for output in after.outputs]
            assert_alike(texts(after), texts(before))


def texts(cell: nbformat.NotebookNode) -> str:
    """What a cell printed and returned, without its plots."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(part for part in parts if "<Figure" not in part and "<Axes" not in part)


def test_the_notebook_is_small_and_knows_no_machine():
    text = (EXAMPLES / "explore_recommendations.ipynb").read_text(encoding="utf-8")
    assert len(text) < 200_000
    folders = [f"/{name}/" for name in ("home", "root", "tmp", "usr")]
    assert not any(place in text for place in (*folders, "site-packages"))
