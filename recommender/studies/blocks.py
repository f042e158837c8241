"""Continual training by the protocol of PESO: learn each block of time from the model of the block before, and be tested.

Yoo et al., "Continual low-rank adapters for LLM-based generative recommender systems", ICLR 2026, as its public code has
it: a base on the first block; the model of each later block begins from that of the one before, learns all but the last two
items of each user there, and ranks the last one among all items. Ways: *frozen* stays with the base; *update* is
`recommender update`; *evolving* the same without replay and proximal term, which is the single evolving adapter that PESO
is compared with; *full* is trained anew on all blocks so far; *counts* is a baseline that is fitted on them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.baselines import FitData, make_baseline
from recommender.config import Config, UpdateConfig
from recommender.data.catalogue import Catalogue
from recommender.model.checkpoint import Checkpoint, from_pretrained, save_pretrained
from recommender.pipelines.continued import digest_of_weights
from recommender.pipelines.train import train
from recommender.pipelines.update import learn
from recommender.pipelines.update_block import make_block
from recommender.progress import Progress
from recommender.studies.block_files import Blocks
from recommender.studies.block_report import K, figures_of
from recommender.studies.steps import Steps
from recommender.training.validation import rank_histories

WAYS = ("frozen", "update", "evolving", "full", "counts")
USUAL = ("frozen", "update", "evolving", "counts")
"""The ways without full training, which takes as long as the base for each block."""
_STEPS, _ITEMS, _TABLE = "steps.json", "items.csv", "until-{}.csv"
_AT_ONCE = 200


@dataclass(frozen=True)
class BlockOptions:
    """counts: the baseline that is fitted on all blocks so far. seed: of the intervals and of what baselines draw. files:
    digests of the blocks."""

    counts: str = "sequential-item-knn"
    seed: int = 0
    files: tuple[str, ...] = ()


def study_blocks(
    config: Config,
    files: Sequence[Path],
    output: Path,
    ways: Sequence[str] = USUAL,
    counts: str = "sequential-item-knn",
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train, learn and test block by block, and return the figures. A study that was stopped goes on in its folder, also
    with more ways.

    Raises DataError for files that are no blocks, and for a folder of a study with other settings or files.
    """
    blocks = Blocks.load(files)
    output.mkdir(parents=True, exist_ok=True)
    options = BlockOptions(counts, seed, blocks.digests)
    steps = Steps.of(output / _STEPS, config, options)
    return _Study(config, blocks, options, output, steps, progress).run(ways)


class _Study:
    """One study: the blocks, their catalogue, and where models lie."""

    def __init__(
        self,
        config: Config,
        blocks: Blocks,
        options: BlockOptions,
        output: Path,
        steps: Steps,
        progress: Progress | None,
    ) -> None:
        self.blocks, self.options, self.output, self.steps, self.progress = blocks, options, output, steps, progress
        items = output / _ITEMS
        if not items.is_file():
            blocks.write_items(items)
        names = ("item_id", "title", "user_id", "timestamp")
        own: dict[str, Any] = {f"data.columns.{name}": name for name in names}
        own |= {"data.items": str(items), "data.minimum_rating": None, "data.users": None}
        own |= {"training.keep_test_out": True, "training.validate_on": None}
        self.config = config.updated(own, "study")
        self.catalogue = Catalogue.load(items, self.config.data, media=False)
        self.tests = [blocks.tests(block, self.catalogue) for block in range(len(blocks))]

    def run(self, ways: Sequence[str]) -> dict[str, Any]:
        """Do all steps of these ways and return the figures."""
        later = range(1, len(self.blocks))
        for way in sorted(ways, key=lambda way: way != "counts"):  # seconds, so what it cannot rank is known at once
            for block in later:
                if way != "counts":
                    self._train(0, "base")
                if way == "full":
                    self._train(block, f"full-{block}")
                if way in ("update", "evolving"):
                    self._update(way, block)
                self.steps.once(f"{way} {block}", partial(self._ranks, way, block))
        about = {
            "interactions": self.blocks.interactions(),
            "items": len(self.catalogue),
            "tests": [len(self.tests[block]) for block in later],
            "counts": self.options.counts,
            "seed": self.options.seed,
        }
        users = [[test.user for test in self.tests[block]] for block in later]
        return {"about": about, **figures_of(self.steps.done, ways, users, self.options.seed)}

    def _train(self, block: int, name: str) -> None:
        """Train on all up to the end of a block; the last item but one of each user decides which weights are kept."""

        def work() -> dict[str, float]:
            started, table = time.monotonic(), self.output / _TABLE.format(block)
            self.blocks.write_interactions(block, table)
            recipe = self.config.updated({"data.interactions": str(table)}, "study")
            train(recipe, self._folder(name), self.progress, recipe="study blocks")
            return {"seconds": round(time.monotonic() - started, 1)}

        self.steps.once(f"trained {name}", work)

    def _update(self, way: str, block: int) -> None:
        """Learn a block from the model of the one before."""

        def work() -> dict[str, Any]:
            started = time.monotonic()
            before = self._folder(f"{way}-{block - 1}" if block > 1 else "base")
            live, settings = self._load(before), self._settings(way)
            known, size = self.blocks.learned_until(block, self.catalogue), live.config.prompt.history + 1
            news = make_block(known, block, settings, size, self.config.seed, until=block + 1)
            work = self.output / f"{way}-{block}.training"
            learn(live, news, settings, work, digest_of_weights(before), self.progress)
            save_pretrained(live, self._folder(f"{way}-{block}"))
            return {"seconds": round(time.monotonic() - started, 1), **news.counts}

        self.steps.once(f"learned {way}-{block}", work)

    def _settings(self, way: str) -> UpdateConfig:
        alone = {"replay": 0.0, "proximal": 0.0} if way == "evolving" else {}
        return self.config.update.model_copy(update=alone)

    def _folder(self, name: str) -> Path:
        return self.output / "models" / name

    def _load(self, folder: Path) -> Checkpoint:
        return from_pretrained(folder, self.catalogue, self.progress)

    def _ranks(self, way: str, block: int) -> dict[str, list[int]]:
        """Return the rank of each test's item among all items, and among those that its user had not; K + 1 below K."""
        if way == "counts":
            return self._ranks_by_counts(block)
        checkpoint = self._load(self._folder("base" if way == "frozen" else f"{way}-{block}"))
        beam, lists = checkpoint.config.decoding.beam, []
        tests = self.tests[block]
        for start in range(0, len(tests), _AT_ONCE):
            histories = [test.history for test in tests[start : start + _AT_ONCE]]
            most = K + max(map(len, histories))  # enough to take out all that somebody had
            lists += rank_histories(checkpoint.model, checkpoint.builder, histories, most, beam, seen=True)
            if self.progress:
                self.progress(f"{way}: testing block {block}", len(lists), len(tests))
        return self._placed(block, lists)

    def _ranks_by_counts(self, block: int) -> dict[str, list[int]]:
        baseline = make_baseline(self.options.counts)
        known = self.blocks.learned_until(block, self.catalogue).items
        baseline.fit(FitData(known, len(self.catalogue), None, self.options.seed, self.progress))
        lists: list[np.ndarray] = []
        for start in range(0, len(self.tests[block]), _AT_ONCE):
            histories = [test.history for test in self.tests[block][start : start + _AT_ONCE]]
            most = K + max(map(len, histories))
            lists += list(np.argsort(-baseline.scores(histories), axis=1, kind="stable")[:, :most])
        return self._placed(block, lists)

    def _placed(self, block: int, lists: Sequence[np.ndarray]) -> dict[str, list[int]]:
        pairs = list(zip(self.tests[block], lists, strict=True))
        return {
            "all": [_rank(test.item, items) for test, items in pairs],
            "new": [_rank(test.item, items[~np.isin(items, test.history)]) for test, items in pairs],
        }


def _rank(item: int, listed: np.ndarray) -> int:
    """Return the rank of an item in a list, from 1; K + 1 if it is not among the first K."""
    places = np.flatnonzero(listed[:K] == item)
    return int(places[0]) + 1 if len(places) else K + 1
