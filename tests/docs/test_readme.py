"""The README: short, and every block of it runs. What would take long runs in a smaller variant that stands here."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from recommender import cli
from recommender.engine import Recommender
from tests.docs.markdown import ROOT, Block, Section, read
from tests.docs.outputs import assert_alike
from tests.docs.served import SERVE_SHIPPED, served

README = read(ROOT / "README.md")
SECTIONS = [section for section in README.sections if section.blocks]
SMALLER = {
    "recommender evaluate movielens-100k lightfm sasrec-vectors sequential-item-knn popularity --output runs/films": (
        "recommender evaluate movielens-100k sequential-item-knn popularity --users 20 --output runs/films"
    ),
    "recommender train --config mine.yaml --output runs/mine": (
        "recommender train --config mine.yaml --output runs/mine --set training.stages.0.max_steps=2"
        " --set justify.examples=60"
    ),
    'recommender chat movielens-100k -m "I loved Alien and Blade Runner" -m "no horror, nothing before 1980, only 3"': (
        'recommender chat movielens-100k -m "I loved Alien and Blade Runner" -m "no horror, nothing before 1980, only 3"'
        " --no-explain"
    ),
}
"""Command of the README -> the variant that is run in its place."""
BOOKS, READERS = 30, 20


def test_it_is_short():
    assert len(README.path.read_text(encoding="utf-8").splitlines()) <= 150
    rows = [line for line in README.prose.splitlines() if line.startswith("|")]
    assert len(rows) - 2 <= 8  # heading and rule


def test_every_smaller_variant_stands_for_a_command_that_is_there():
    shown = {command for block in README.blocks if block.language == "bash" for command in block.commands}
    assert SMALLER.keys() <= shown


def test_the_picture_shows_what_the_five_lines_print():
    picture = (ROOT / "docs/images/terminal.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert "url(http" not in picture and 'url("http' not in picture  # nothing is loaded from elsewhere
    shown = next(block for block in README.blocks if block.language == "text")
    for line in shown.text.splitlines():
        title = line.split(" - ")[0].split(" ", 1)[1].rsplit(" ", 1)[0]
        assert title in picture


@pytest.fixture(scope="module", autouse=True)
def one_load():
    """Each checkpoint is loaded once for all sections, not once a command."""
    load = Recommender.from_pretrained
    loaded = functools.cache(lambda source: load(source))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recommender, "from_pretrained", staticmethod(lambda source, *_, **__: loaded(str(source))))
        yield


@pytest.fixture
def workshop(tmp_path, monkeypatch) -> Path:
    """A folder with the two tables that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    with open("items.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "genres", "year"])
        kinds = ("Crime", "Travel", "Poetry")
        rows.writerows(
            [f"b{n}", f"The {kinds[n % 3]} Book, Part {n}", kinds[n % 3], 1950 + n] for n in range(1, BOOKS + 1)
        )
    with open("interactions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "timestamp"])
        for user in range(READERS):
            rows.writerows([f"u{user}", f"b{1 + (user + 3 * step) % BOOKS}", 1000 * user + step] for step in range(8))
    return tmp_path


@pytest.mark.assets
@pytest.mark.parametrize("section", SECTIONS, ids=[section.title for section in SECTIONS])
def test_every_block_runs(section: Section, workshop: Path, request: pytest.FixtureRequest):
    runner = _Runner(workshop, lambda: request.getfixturevalue("shipped_server"))
    with contextlib.closing(runner):
        for block in section.blocks:
            getattr(runner, block.language)(block)  # a language that nobody runs is an error


class _Runner:
    """Runs blocks one after the other, as a reader would; a method a language."""

    def __init__(self, folder: Path, shipped_server: Callable[[], int]) -> None:
        """`shipped_server` returns the port of the server that other tests ask, too."""
        self.folder, self._shipped_server = folder, shipped_server
        self.printed = ""
        self.names: dict[str, object] = {}
        self.port = 0
        self._servers = contextlib.ExitStack()

    def close(self) -> None:
        self._servers.close()

    def python(self, block: Block) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block.text, f"README.md:{block.line}", "exec"), self.names)
        self.printed = printed.getvalue()

    def text(self, block: Block) -> None:
        assert_alike(self.printed, block.text)

    def yaml(self, block: Block) -> None:
        (self.folder / "mine.yaml").write_text(block.text, encoding="utf-8")

    def mermaid(self, block: Block) -> None:
        assert block.text.startswith("flowchart")
        assert block.text.count("[") == block.text.count("]")

    def bash(self, block: Block) -> None:
        for command in block.commands:
            program = command.split()[0]
            getattr(self, f"_{program}")(SMALLER.get(command, command))

    def _recommender(self, command: str) -> None:
        if command.startswith("recommender serve"):
            shared = command == SERVE_SHIPPED
            self.port = self._shipped_server() if shared else self._servers.enter_context(served(command, self.folder))
            return
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = cli.app(args=shlex.split(command)[1:], standalone_mode=False)
        assert not code, f"{command}: exit code {code}"
        assert printed.getvalue().strip(), command

    def _curl(self, command: str) -> None:
        assert self.port, "a server is asked before it is started"
        words = shlex.split(command.replace("localhost:8000", f"127.0.0.1:{self.port}"))
        answer = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        assert answer.get("items") or answer["choices"][0]["message"]["content"]

    def _pip(self, command: str) -> None:
        """The package is described, not installed: that is what the tests of the wheel do."""
        for name in ("recommender", "prompts", "adapters", "eval"):
            shutil.copytree(
                ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__")
            )
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.folder / name)
        words = [sys.executable, "-m", *shlex.split(command), "--dry-run", "--no-deps"]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "does not provide the extra" not in done.stderr

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"nothing here runs {name.strip('_')!r}; teach it to this test")


def test_the_extras_that_it_names_are_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    install = next(
        c for block in README.blocks if block.language == "bash" for c in block.commands if c.startswith("pip ")
    )
    named = install.partition("[")[2].partition("]")[0].split(",")
    assert named and set(named) <= set(extras)
