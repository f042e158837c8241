"""kill -9 at random moments: what was under way is resumed or begun anew, and is never half-written and never mixed.

Each round kills a task once or twice, looks at what lies there, and lets it run to its end: the result is that of a run
that nobody killed, byte for byte, and nothing else lies beside it. The short form kills each task once.
"""

from __future__ import annotations

import csv
import itertools
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from recommender.batch import run_batch
from recommender.config import Config
from recommender.errors import CheckpointError
from recommender.export.merge import merge
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.model.manifest import read_manifest
from recommender.pipelines.extend import load_extended
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.pipelines.train import train
from tests.batch.batch_files import requests, write_lines
from tests.conftest import write_csv, write_tables

STAGES = [
    {"stage": "align", "max_steps": 3, "batch_tokens": 128, "row_tokens": 64},
    {"stage": "rank", "epochs": 6, "max_steps": 8, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 0.01},
]
SEED = 18
#: files of a result that hold the time that something took, or the order of a dictionary
NOT_COMPARED = ("metrics.json", "README.md", "checkpoint.json", "features.safetensors")


@dataclass(frozen=True)
class World:
    """A trained checkpoint, its recipe, tables and requests. `cache`: of encodings."""

    folder: Path
    config: Config

    @property
    def model(self) -> str:
        return str(self.folder / "model")

    def train(self, output: Path) -> None:
        train(self.config.updated({"seed": 1}), output / "trained")

    def batch(self, output: Path) -> None:
        run_batch(self.model, self.folder / "in.jsonl", output / "out.jsonl")

    def extend(self, output: Path) -> None:
        save_pretrained(load_extended(self.model, str(self.folder / "more.csv")), output / "extended")

    def fuse(self, output: Path) -> None:
        fuse_checkpoint(self.model, ["ease"], output / "fused")

    def export(self, output: Path) -> None:
        merge(from_pretrained(self.model), output / "exported")


@pytest.fixture(scope="module")
def world(tmp_path_factory, catalogue, histories, llm_folder, text_folder) -> World:
    folder = tmp_path_factory.mktemp("world")
    raw = {
        "data": write_tables(folder, catalogue, histories),
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
        "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 0},
        "lora": {"r": 4, "lora_alpha": 8},
        "prompt": {"history": 6, "titled": 2, "noun": "films"},
        "training": {"stages": STAGES, "checkpoint_minutes": 1e-6},
    }
    config = Config.parse(raw).updated({"encoders.cache": str(folder / "encodings")})
    train(config, folder / "model")
    write_lines(folder / "in.jsonl", requests(60))
    with (folder / "items.csv").open(encoding="utf-8") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    write_csv(folder / "more.csv", "item_id title genres year", [*rows, ["900", "The red river", "drama", "1990"]])
    return World(folder, config)


TASKS: Mapping[str, Callable[[World, Path], None]] = {
    "train": World.train,
    "batch": World.batch,
    "extend": World.extend,
    "fuse": World.fuse,
    "export": World.export,
}


def contents(folder: Path) -> dict[str, bytes]:
    """Return name -> content of all files that are not hidden, and of no log."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_COMPARED)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if ".training" not in str(p.relative_to(folder))}


def begin(task: str, world: World, output: Path) -> multiprocessing.Process:
    """Start a task in a process of its own that has all modules already: a kill hits the work, not the imports."""
    process = multiprocessing.get_context("fork").Process(target=TASKS[task], args=(world, output))
    process.start()
    return process


def finish(task: str, world: World, output: Path) -> float:
    """Run a task to its end; return the seconds that it took."""
    started = time.monotonic()
    process = begin(task, world, output)
    process.join()
    assert process.exitcode == 0, task
    return time.monotonic() - started


def check_whole_or_absent(output: Path, whole: dict[str, bytes], before: dict[str, bytes]) -> None:
    """What has its final name is whole: the new result, or what was there before."""
    visible = {name: content for name, content in contents(output).items() if not name.startswith(".")}
    assert visible in ({}, whole, before)
    for folder in output.iterdir():
        if folder.is_dir() and (folder / "checkpoint.json").exists() and not folder.name.startswith("."):
            read_manifest(folder)


def kill_and_finish(task: str, world: World, tmp_path: Path, kills: int, moments: random.Random) -> None:
    """Kill a task under way so many times, in rounds of one or two kills after which it runs to its end."""
    (tmp_path / "whole").mkdir()
    seconds = finish(task, world, tmp_path / "whole")
    whole, names, hits = contents(tmp_path / "whole"), sorted(os.listdir(tmp_path / "whole")), 0
    for number in itertools.count():
        output = tmp_path / f"killed-{number}"
        output.mkdir()
        if number % 2 and task in ("train", "extend", "fuse"):  # an earlier checkpoint stands there
            shutil.copytree(world.model, output / names[0])
        before = contents(output)
        for _ in range(1 + number % 2):
            process = begin(task, world, output)
            process.join(moments.uniform(0, seconds))
            hits += process.is_alive()
            process.kill()
            process.join()
            check_whole_or_absent(output, whole, before)
        if not (output / "out.jsonl").exists():  # a batch that is done is not done again
            seconds = min(finish(task, world, output), seconds)
        assert contents(output) == whole, f"round {number}"
        assert sorted(os.listdir(output)) == names, f"round {number}"
        shutil.rmtree(output)
        if hits >= kills:
            return


@pytest.mark.parametrize("task", list(TASKS))
def test_a_kill_leaves_nothing_half_and_nothing_mixed(task, world, tmp_path):
    kill_and_finish(task, world, tmp_path, 1, random.Random(f"{SEED} {task}"))


@pytest.mark.slow
@pytest.mark.parametrize("task", list(TASKS))
def test_fifty_kills_ten_of_each_task(task, world, tmp_path):
    kill_and_finish(task, world, tmp_path, 10, random.Random(f"fifty {SEED} {task}"))


def test_what_is_half_written_is_never_taken_for_a_checkpoint(world, tmp_path):
    shutil.copytree(world.model, tmp_path / "cut")
    with (tmp_path / "cut" / "adapter.safetensors").open("rb+") as file:
        file.truncate(1000)
    with pytest.raises(CheckpointError, match="is damaged"):
        from_pretrained(tmp_path / "cut")
