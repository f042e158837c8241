"""Does it stay current? Every interaction is predicted before it is learned, over blocks of time, by ways of keeping up.

A base is trained on the first part by time; equal blocks follow. Before a block is learned, its interactions are predicted,
each from what its user had until that moment (test, then train: Gama et al., "On evaluating stream learning algorithms",
Machine Learning 90, 2013). Ways: *frozen* knows nothing after the base; *history* knows what people had since; *counts* also
ranks with counts that follow; *update* learns each block as `recommender update` does; *full* is trained anew before each.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.baselines import FitData, make_baseline
from recommender.baselines.fusion.score_views import mask_seen, weighted_scores
from recommender.baselines.fusion.weights import fit_fusion
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.files import replacing, write_together
from recommender.model.checkpoint import Checkpoint, from_pretrained, save_pretrained
from recommender.numerics.gains import single_target_ndcg
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import line_chart
from recommender.pipelines.continued import digest_of_weights
from recommender.pipelines.train import load_histories, train
from recommender.pipelines.update import learn
from recommender.pipelines.update_block import Target, make_block
from recommender.progress import Progress
from recommender.studies.steps import Steps
from recommender.training.validation import target_ranks

FIGURES, PAGE = "prequential.json", "report.html"
WAYS = ("frozen", "history", "counts", "update", "full")
K = 10
_STEPS, _TABLE = "steps.json", "until-{}.csv"
_SAMPLES = 2000
_NOTES = (
    "Each interaction is predicted before any model has learned it, from what its user had until that moment.",
    "frozen: neither model nor histories after the base; history: the base model with histories as they are; counts: that,"
    " ranked together with counts that follow; update: recommender update, block by block; full: trained anew each time.",
    "Intervals: bootstrap over users, 95 %.",
)


@dataclass(frozen=True)
class PrequentialOptions:
    """base: share of the interactions, the earliest, that is learned first. blocks: equal parts of the rest. events: at most
    so many predicted interactions a block. counts: the baseline that ranks along."""

    base: float = 0.6
    blocks: int = 4
    events: int = 1000
    ways: tuple[str, ...] = WAYS
    counts: str = "sequential-item-knn"
    seed: int = 0


@dataclass(frozen=True)
class _Event:
    """One predicted interaction: who, what, what they had before it, and how much of that before the blocks."""

    user: int
    target: Target
    known_at_base: int


def study_prequential(
    config: Config, options: PrequentialOptions, output: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Train, predict and learn block by block, and return the figures. A study that was stopped goes on in its folder.

    Raises DataError for interactions without times, too few of them, or a folder of another study.
    """
    output.mkdir(parents=True, exist_ok=True)
    steps = Steps.of(output / _STEPS, config, options)
    return _Study(config, options, output, steps, progress).run()


class _Study:
    """One study: the interactions, the moments between blocks, and where models lie."""

    def __init__(
        self, config: Config, options: PrequentialOptions, output: Path, steps: Steps, progress: Progress | None
    ) -> None:
        self.options, self.output, self.steps, self.progress = options, output, steps, progress
        self.catalogue = Catalogue.load(config.data.items, config.data, media=False)
        self.histories = load_histories(config, self.catalogue)
        if self.histories.times is None:
            raise DataError("a study over time needs interactions with times", "name data.columns.timestamp")
        columns = {f"data.columns.{name}": name for name in ("user_id", "item_id", "timestamp")}
        own = {"data.minimum_rating": None, "data.users": None, "training.keep_test_out": False}
        self.config = config.updated(columns | own, "study")
        times = np.sort(np.concatenate(self.histories.times))
        shares = options.base + (1 - options.base) * np.arange(options.blocks + 1) / options.blocks
        self.moments = [float(times[min(int(share * len(times)), len(times)) - 1]) for share in shares]
        self.events = [self._events_of(block) for block in range(options.blocks)]

    def _events_of(self, block: int) -> list[_Event]:
        """Return an even sample of a block's interactions whose users had something before."""
        found = []
        assert self.histories.times is not None
        start, end, base = self.moments[block], self.moments[block + 1], self.moments[0]
        for user, (items, times) in enumerate(zip(self.histories.items, self.histories.times, strict=True)):
            first, last, known = np.searchsorted(times, [start, end, base], side="right")
            found += [
                _Event(user, Target(items[:place], int(items[place])), int(known))
                for place in range(max(int(first), 1), int(last))
            ]
        chosen = np.random.default_rng([self.options.seed, block]).permutation(len(found))[: self.options.events]
        return [found[place] for place in np.sort(chosen)]

    def recipe(self, block: int) -> Config:
        """Return the recipe for all that came before a block, whose table is written."""
        path = self.output / _TABLE.format(block)
        if not path.is_file():
            self._write_table(path, self.moments[block])
        return self.config.updated({"data.interactions": str(path)}, "study")

    def _write_table(self, path: Path, end: float) -> None:
        assert self.histories.times is not None
        rows = (
            (user, self.catalogue.item_ids[item], f"{when:.3f}")
            for user, items, times in zip(
                self.histories.user_ids, self.histories.items, self.histories.times, strict=True
            )
            for item, when in zip(items, times, strict=True)
            if when <= end
        )
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([("user_id", "item_id", "timestamp"), *rows])

    def folder(self, name: str) -> Path:
        """Return the checkpoint of a model."""
        return self.output / "models" / name

    def run(self) -> dict[str, Any]:
        """Do all steps and return the figures."""
        self._train(0, "base")
        for way in self.options.ways:
            for block in range(self.options.blocks):
                if way == "full" and block:
                    self._train(block, f"full-{block}")
                if way == "update" and block:
                    self._update(block)
                self.steps.once(f"{way} {block}", partial(self._ranks, way, block))
        if "update" in self.options.ways:
            self._update(self.options.blocks)
            for block in (1, self.options.blocks):
                name = f"first block after update {block}"
                self.steps.once(name, partial(self._first_block_after, block))
        return self.figures()

    def _first_block_after(self, update: int) -> list[int]:
        return self._ranked(self._load(f"update-{update}"), 0)

    def _train(self, block: int, name: str) -> None:
        def work() -> dict[str, float]:
            started = time.monotonic()
            train(self.recipe(block), self.folder(name), self.progress, recipe="study prequential")
            return {"seconds": round(time.monotonic() - started, 1)}

        self.steps.once(f"trained {name}", work)

    def _update(self, block: int) -> None:
        """Learn the block before this one, from the model of the one before."""

        def work() -> dict[str, Any]:
            before = "base" if block == 1 else f"update-{block - 1}"
            started = time.monotonic()
            live = self._load(before)
            settings = self.config.update
            size = live.config.prompt.history + 1
            since, end = self.moments[block - 1], self.moments[block]
            news = make_block(self._until(end), since, settings, size, self.config.seed, until=end)
            start = digest_of_weights(self.folder(before))
            learn(live, news, settings, self.output / f"update-{block}.training", start, self.progress)
            save_pretrained(live, self.folder(f"update-{block}"))
            return {"seconds": round(time.monotonic() - started, 1), **news.counts}

        self.steps.once(f"updated {block}", work)

    def _until(self, end: float) -> Histories:
        """Return what all had up to a moment."""
        assert self.histories.times is not None
        ends = [int(np.searchsorted(times, end, side="right")) for times in self.histories.times]
        kept = [user for user, last in enumerate(ends) if last]
        return Histories(
            tuple(self.histories.user_ids[user] for user in kept),
            tuple(self.histories.items[user][: ends[user]] for user in kept),
            tuple(self.histories.times[user][: ends[user]] for user in kept),
        )

    def _load(self, name: str) -> Checkpoint:
        return from_pretrained(self.folder(name), self.catalogue, self.progress)

    def _ranks(self, way: str, block: int) -> list[int]:
        if way == "counts":
            return self._ranked_with_counts(block)
        number = f"{way}-{block}" if block and way in ("update", "full") else "base"
        return self._ranked(self._load(number), block, frozen=way == "frozen")

    def _ranked(self, checkpoint: Checkpoint, block: int, frozen: bool = False) -> list[int]:
        """Return the rank of each event's item, from 1; K + 1 if it is not listed."""
        events = self.events[block]
        found: list[int] = []
        histories = [
            event.target.history[: event.known_at_base] if frozen else event.target.history for event in events
        ]
        beam = checkpoint.config.decoding.beam
        for start in range(0, len(events), 200):
            items = [event.target.item for event in events[start : start + 200]]
            part = histories[start : start + 200]
            found += target_ranks(checkpoint.model, checkpoint.builder, part, items, K, beam)
            if self.progress:
                self.progress(f"predicting block {block + 1}", len(found), len(events))
        return found

    def _ranked_with_counts(self, block: int) -> list[int]:
        """Rank with counts of all that came before the block; weights are fitted on the last items of the base."""
        model = Recommender(self._load("base"))
        weights = self.steps.once("weights", lambda: self._weights(model))
        baseline = make_baseline(self.options.counts)
        baseline.fit(FitData(self._until(self.moments[block]).items, len(self.catalogue), None, self.config.seed))
        found: list[int] = []
        for start in range(0, len(self.events[block]), 200):
            events = self.events[block][start : start + 200]
            histories = [event.target.history for event in events]
            scores = weighted_scores(
                model.score(histories, candidates=range(len(self.catalogue))), histories, tuple(weights["model"])
            )
            scores = scores + weighted_scores(baseline.scores(histories), histories, tuple(weights["counts"]))
            scores = mask_seen(scores, histories)
            targets = np.array([event.target.item for event in events])
            better = (scores > scores[np.arange(len(events)), targets][:, None]).sum(1)
            found += np.minimum(better + 1, K + 1).tolist()
        return found

    def _weights(self, model: Recommender) -> dict[str, list[float]]:
        """Fit fusion weights on the last item of each user of the base, as `recommender fuse` does."""
        known = self._until(self.moments[0])
        data = FitData(known.items, len(self.catalogue), None, self.config.seed, self.progress)
        everything = range(len(self.catalogue))
        fitted = fit_fusion(
            "model",
            lambda histories: model.score(histories, candidates=everything),
            {"counts": lambda: make_baseline(self.options.counts)},
            data,
            self.progress,
        )
        return {name: list(pair) for name, pair in fitted.weights.items()}

    def figures(self) -> dict[str, Any]:
        """Return all that was found."""
        done, options = self.steps.done, self.options
        users = [np.array([event.user for event in events]) for events in self.events]
        blocks = {
            way: [_measured(done[f"{way} {block}"], users[block], options.seed) for block in range(options.blocks)]
            for way in options.ways
        }
        everything = np.concatenate(users)
        over_all = {
            way: _measured(
                sum((done[f"{way} {block}"] for block in range(options.blocks)), []), everything, options.seed
            )
            for way in options.ways
        }
        seconds = {
            "base": done["trained base"]["seconds"],
            "full": [done[f"trained full-{b}"]["seconds"] for b in range(1, options.blocks) if "full" in options.ways],
            "update": [
                done[f"updated {b}"]["seconds"] for b in range(1, options.blocks + 1) if "update" in options.ways
            ],
        }
        about = {
            "interactions": sum(map(len, self.histories.items)),
            "events": [len(events) for events in self.events],
            "moments": self.moments,
            "seed": options.seed,
        }
        figures = {"about": about, "blocks": blocks, "all": over_all, "seconds": seconds}
        if "update" in options.ways:
            figures["first block"] = {
                when: _measured(done[f"first block after update {block}"], users[0], options.seed)
                for when, block in (("after the first update", 1), ("after the last update", options.blocks))
            }
        if {"update", "full"} <= set(options.ways):
            figures["update less full"] = _difference(done, options, users)
        return figures


def _measured(ranks: Sequence[int], users: np.ndarray, seed: int) -> dict[str, Any]:
    """Return R@10 and N@10 with bootstrap intervals over users."""
    placed = np.array(ranks)
    hits, gains = (placed <= K).astype(float), single_target_ndcg(placed, K)
    return {
        name: {"mean": round(float(values.mean()), 4), "interval": _interval(values, users, seed)}
        for name, values in (("recall", hits), ("ndcg", gains))
    }


def _interval(values: np.ndarray, users: np.ndarray, seed: int) -> list[float]:
    _, groups = np.unique(users, return_inverse=True)
    sums, counts = np.bincount(groups, values), np.bincount(groups)
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(sums), (_SAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return [round(float(end), 4) for end in np.quantile(means, [0.025, 0.975])]


def _difference(done: Mapping[str, Any], options: PrequentialOptions, users: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return N@10 of updating less that of full training, over the blocks in which they are different models."""
    later = range(1, options.blocks)
    gains = [
        single_target_ndcg(np.array(sum((done[f"{way} {block}"] for block in later), [])), K)
        for way in ("update", "full")
    ]
    paired = gains[0] - gains[1]
    interval = _interval(paired, np.concatenate([users[block] for block in later]), options.seed)
    share = float(gains[0].mean() / max(gains[1].mean(), 1e-9))
    return {"mean": round(float(paired.mean()), 4), "interval": interval, "share": round(share, 4)}


def rows_of(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each way: over all blocks, and N@10 of each."""
    rows = []
    for way, found in figures["all"].items():
        row: dict[str, Any] = {"way": way, "R@10": _told(found["recall"]), "N@10": _told(found["ndcg"])}
        for number, block in enumerate(figures["blocks"][way]):
            row[f"N@10, block {number + 1}"] = f"{block['ndcg']['mean']:.4f}"
        seconds = figures["seconds"].get(way) or []
        row["seconds a block"] = round(float(np.mean(seconds)), 1) if seconds else ""
        rows.append(row)
    return rows


def told_of(figures: Mapping[str, Any]) -> list[str]:
    """Return sentences on what updating costs and forgets."""
    said = []
    if "update less full" in figures:
        difference, seconds = figures["update less full"], figures["seconds"]
        share = np.mean(seconds["update"][: len(seconds["full"])]) / np.mean(seconds["full"])
        low, high = difference["interval"]
        said.append(
            f"Updating reaches {difference['share']:.1%} of full training's N@10 (difference {difference['mean']:.4f},"
            f" {low:.4f} to {high:.4f}) in {share:.1%} of its time."
        )
    if "first block" in figures:
        first, last = (figures["first block"][f"after the {when} update"]["ndcg"]["mean"] for when in ("first", "last"))
        said.append(f"N@10 on the first block is {first:.4f} once it is learned, {last:.4f} after all updates.")
    return said


def _told(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['mean']:.4f} ({low:.4f} to {high:.4f})"


def write_prequential(output: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON and the page into a folder."""
    about = figures["about"]
    places = list(range(1, len(about["events"]) + 1))
    lines = {way: (places, [block["ndcg"]["mean"] for block in blocks]) for way, blocks in figures["blocks"].items()}
    lead = (
        f"{about['interactions']} interactions by time, {sum(about['events'])} predicted. {' '.join(told_of(figures))}"
    )
    parts: list[Table | Picture] = [
        Table("Ways of keeping up", rows_of(figures)),
        Picture("N@10 block by block", line_chart(lines, "block", "N@10"), "each interaction before it is learned"),
    ]
    report = Report("Does it stay current?", lead, parts, _NOTES, about)
    contents = {FIGURES: (json.dumps(figures, indent=1) + "\n").encode(), PAGE: report_html(report).encode()}
    write_together(output, contents)
