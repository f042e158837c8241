"""The steps that `recommender bench catalogue` measures, each in a process of its own: seconds and peak memory.

Run as `python -m recommender.benchmarks.catalogue_steps STEP FOLDER SETTINGS`; the last line of the output is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.benchmarks.catalogue_world import BASE, INTERACTIONS, ITEMS, VECTORS, write_world
from recommender.config import Config
from recommender.encoders.features import Features

FEATURES, MODEL = "features.safetensors", "model"


@dataclass(frozen=True)
class World:
    """The folder of a synthetic catalogue, and how much of it the steps work on."""

    folder: Path
    items: int
    users: int
    train_users: int
    asked: int
    llm: str
    seed: int = 0

    def config(self, **changes: Any) -> Config:
        """Return the config of the tiny model over the world's tables; nothing is encoded."""
        keys = {
            "seed": self.seed,
            "data.items": str(self.folder / ITEMS),
            "data.interactions": str(self.folder / INTERACTIONS),
            "base.llm": str(self.folder / BASE),
            "base.dtype": "float32",
            "base.rank_layers": 2,
            "encoders.text": None,
            "encoders.image": None,
            "encoders.audio": None,
            "prompt.history": 32,
        }
        return Config().updated(keys | changes)


Step = Callable[[World], Callable[[], dict[str, Any] | None]]
"""Prepares a step, and returns what is measured."""


def tables(world: World) -> Callable[[], None]:
    """Make the world itself."""
    return lambda: write_world(world.folder, world.items, world.users, world.seed)


def validate(world: World) -> Callable[[], dict[str, Any]]:
    """Check both tables, as `recommender validate` does."""
    from recommender.data import checks

    def run() -> dict[str, Any]:
        report = checks.validate(world.folder / ITEMS, world.folder / INTERACTIONS)
        assert report.ok, report.render()
        return {"problems": len(report.problems)}

    return run


def encode(world: World) -> Callable[[], None]:
    """Read and reduce the given vectors, make collaborative ones of the histories, and write the features."""
    from recommender.data.histories import leave_one_out
    from recommender.pipelines.train import encode, load_catalogue, load_histories

    config = world.config(**{"encoders.text": {"vectors": str(world.folder / VECTORS)}})
    catalogue = load_catalogue(config)
    histories = leave_one_out(load_histories(config, catalogue)).train.items
    return lambda: encode(config, catalogue, histories).save(world.folder / FEATURES)


def tokenize(world: World, levels: int = 1) -> Callable[[], dict[str, Any]]:
    """Make codes of the vectors, and the trie of all codes."""
    from recommender.constraints import Trie
    from recommender.semantic_ids.codes import SemanticIds

    keys = {"semantic_ids.levels": levels, "semantic_ids.codebook_size": codebook_size(world.items)}
    config = world.config(**keys).semantic_ids
    features = Features.load(world.folder / FEATURES)

    def run() -> dict[str, Any]:
        ids = SemanticIds.build(config, features, world.items, world.seed)
        Trie.from_codes(ids.codes, ids.sizes)
        return {"sizes": list(ids.sizes)}

    return run


def codebook_size(items: int) -> int:
    """Return about the square root of the number of items: with 256 codes a level a million items share too many."""
    return max(256, 2 ** round(np.log2(items) / 2))


def tokenize_levels(world: World) -> Callable[[], dict[str, Any]]:
    """Make three levels of codes, and the one against collisions."""
    return tokenize(world, 3)


def train(world: World, levels: int = 1) -> Callable[[], dict[str, Any]]:
    """Train the tiny base for one epoch over the histories of some users, and write the checkpoint."""
    import torch

    from recommender.config import StageConfig
    from recommender.data.catalogue import Catalogue
    from recommender.model.checkpoint import save_pretrained
    from recommender.pipelines.train import PreparedData, build, load_histories, split_of
    from recommender.training import TrainingData, run_stages

    stage = StageConfig(stage="rank", epochs=1, validation_users=100)
    training = Config().training.model_copy(update={"stages": (stage,)})
    config = world.config(**{"semantic_ids.levels": levels, "data.users": world.train_users})
    config = config.model_copy(update={"training": training, "justify": config.justify})
    catalogue = Catalogue.load(config.data.items, config.data)
    histories = load_histories(config, catalogue)
    features = Features.load(world.folder / FEATURES)

    def run() -> dict[str, Any]:
        prepared = PreparedData(catalogue, split_of(config, histories), features, histories, {})
        checkpoint = build(config, prepared)
        data = TrainingData(checkpoint.builder, prepared.split)
        started = time.perf_counter()
        result = run_stages(checkpoint.model, data, config, world.folder / "training")[0]
        checkpoint.metrics = {"name": MODEL, "path": MODEL, "recipe": "bench catalogue", "stages": []}
        save_pretrained(checkpoint, world.folder / MODEL)
        interactions = sum(map(len, prepared.split.train.items))
        seconds = time.perf_counter() - started
        return {"steps": result.steps, "interactions/s": round(interactions / seconds), "ndcg": result.validation}

    torch.manual_seed(world.seed)
    return run


def load(world: World) -> Callable[[], None]:
    """Open the checkpoint, with all that serving needs."""
    from recommender.engine import Recommender

    def run() -> None:
        Recommender.from_pretrained(world.folder / MODEL).recommend(["i0", "i1"], k=10, explain=False)

    return run


def evaluate(world: World) -> Callable[[], dict[str, Any]]:
    """Rank the whole catalogue for a sample of users, as `recommender evaluate` does."""
    from recommender.studies import comparison

    def run() -> dict[str, Any]:
        options = comparison.EvaluationOptions(users=world.asked)
        result = comparison.evaluate([str(world.folder / MODEL)], options=options)
        return {"users": world.asked, "models": len(result.summary)}

    return run


def batch(world: World) -> Callable[[], dict[str, Any]]:
    """Answer a file of requests, without justifications."""
    from recommender.batch.runner import run_batch

    random = np.random.default_rng(world.seed)
    histories = [[f"i{item}" for item in random.integers(0, world.items, 10)] for _ in range(world.asked)]
    requests = [
        {"custom_id": str(n), "history": history, "k": 10, "explain": False} for n, history in enumerate(histories)
    ]
    lines = list(map(json.dumps, requests))
    source, output = world.folder / "requests.jsonl", world.folder / "answers.jsonl"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    output.unlink(missing_ok=True)

    def run() -> dict[str, Any]:
        report = run_batch(str(world.folder / MODEL), source, output)
        assert not report.errors, f"{report.errors} lines failed"
        return {"lines": report.lines}

    return run


def search(world: World) -> Callable[[], dict[str, Any]]:
    """Build the index that `/v1/items` searches, and search: frequent and rare words, beginnings, and a typing error."""
    from recommender.data.catalogue import Catalogue
    from recommender.data.item_search import ItemSearch

    catalogue = Catalogue.load(str(world.folder / ITEMS))

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        index = ItemSearch(catalogue)
        built, milliseconds = time.perf_counter() - start, []
        titles = [catalogue[i].title for i in range(0, world.items, max(world.items // 20, 1))]
        for text in ("a", *titles, *(title[:2] for title in titles), *(f"{t[:3]}q{t[3:]}" for t in titles)):
            start = time.perf_counter()
            index.find(text, 20)
            milliseconds.append((time.perf_counter() - start) * 1000)
        slowest = round(max(milliseconds), 1)
        return {"step seconds": built, "slowest search, ms": slowest, "index, MB": round(index.nbytes / 1e6)}

    return run


def large_step(world: World) -> Callable[[], dict[str, Any]]:
    """Take training steps of a full base with LoRA; what is told is the median step."""
    import torch

    from recommender.config import StageConfig
    from recommender.data.catalogue import Catalogue
    from recommender.data.histories import leave_one_out
    from recommender.model import RecommenderModel, load_llm
    from recommender.model.checkpoint import Checkpoint
    from recommender.pipelines.train import load_histories
    from recommender.semantic_ids.codes import SemanticIds
    from recommender.training import TrainingData
    from recommender.training.stepping import steps_of

    # as for little memory: what is kept for the backward pass is small beside the rows
    keys = {"base.llm": world.llm, "base.dtype": "auto", "base.rank_layers": 8, "training.gradient_accumulation": 4}
    config = world.config(**keys, **{"data.users": 1000, "training.gradient_checkpointing": True})
    catalogue = Catalogue.load(config.data.items, config.data)
    split = leave_one_out(load_histories(config, catalogue))
    features = Features.load(world.folder / FEATURES)

    def run() -> dict[str, Any]:
        llm, tokenizer = load_llm(config.base)
        model = RecommenderModel(llm, SemanticIds.atomic(world.items), features, config)
        builder = Checkpoint(model, tokenizer, catalogue, config).builder
        stage = StageConfig(stage="rank", max_steps=5)
        times = steps_of(model, TrainingData(builder, split), config, stage, 5)
        return {"step seconds": round(float(np.median(times[1:])), 3), "steps": len(times)}

    torch.manual_seed(world.seed)
    return run


STEPS: dict[str, Step] = {
    "tables": tables,
    "validate": validate,
    "encode": encode,
    "tokenize": tokenize,
    "tokenize 3 levels": tokenize_levels,
    "train": train,
    "load": load,
    "search": search,
    "evaluate": evaluate,
    "batch": batch,
    "135M step": large_step,
}


def main(arguments: list[str]) -> None:
    """Run one step and write what it took as JSON."""
    from recommender.benchmarks.measuring import largest_megabytes

    name, folder, settings = arguments
    world = World(Path(folder), **json.loads(settings))
    call = STEPS[name](world)
    start, worked = time.perf_counter(), time.process_time()
    details = call()
    row = {"seconds": time.perf_counter() - start, "processor": time.process_time() - worked}
    sys.stdout.write("\n" + json.dumps(row | {"MB": largest_megabytes(), "details": details or {}}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
