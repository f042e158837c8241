"""A study of sizes: what fewer layers and fewer bits cost in quality, and what they save in time and memory.

Checkpoints of one catalogue rank for the same users, leave-one-out, each with matrices of 16, 8 or 4 bits, by the embedded
engine without fused baselines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.eval.bootstrap import Bootstrap
from recommender.eval.report_parts import versions
from recommender.inference.layers import ModuleStack
from recommender.inference.weight_cache import WeightCache
from recommender.model.checkpoint import CONFIG, resolve
from recommender.numerics.gains import single_target_ndcg
from recommender.numerics.sampling import evenly
from recommender.pipelines.train import split_histories
from recommender.progress import Progress
from recommender.studies.entries import check_entries, parse_entries
from recommender.studies.rankings import rank_histories

BITS, K = (16, 8, 4), 10
#: lists that one round of the timing makes, in batches as a server makes them
_TIMED = 64


@dataclass(frozen=True)
class Sizes:
    """What is measured: matrices of these `bits`, for an even sample of `users` (None: all); lists are timed in `rounds`."""

    bits: Sequence[int] = BITS
    users: int | None = None
    rounds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class _Variant:
    """A checkpoint whose ranking layers are laid out with so many bits."""

    name: str
    engine: Recommender
    weights: WeightCache
    bits: int

    def rank(self, histories: Sequence[np.ndarray], progress: Progress | None = None) -> np.ndarray:
        """Return the best ten items of each history, int64 [histories, 10]."""
        self.engine.weights = self.weights
        return rank_histories(self.engine, histories, K, progress=progress)


def sizes_study(models: Sequence[str], sizes: Sizes | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Return a row for each checkpoint and number of bits; differences are paired, to the first one.

    NDCG@10 with its 95 % bootstrap interval over users. `lists a second`: of one core's time, which other programs do not
    take from it; the median of rounds in which all take turns. `layers MB`: the matrices of the ranking layers in memory.
    Raises DataError for a number of bits that there is not, checkpoints of several catalogues, or nobody to rank for.
    """
    sizes = sizes or Sizes()
    _check_bits(sizes.bits)
    config = Config.load(resolve(models[0]) / CONFIG)
    catalogue = Catalogue.load(config.data.items, config.data, media=False)
    check_entries(parse_entries(models), catalogue, "leave-one-out")
    split = split_histories(config, catalogue)
    with_target = np.flatnonzero(split.test >= 0)
    if not len(with_target):
        raise DataError(
            "no user has an item that was held out", "give longer histories, or training.keep_test_out: true"
        )
    users = with_target[evenly(len(with_target), sizes.users or len(with_target))]
    known = split.history_for("test")
    histories, targets = [known[user] for user in users.tolist()], split.test[users]
    with _one_thread():
        variants = list(_variants(models, catalogue, sizes.bits, progress))
        lists = np.stack([variant.rank(histories, _named(progress, variant.name)) for variant in variants])
        timed = histories[: len(histories) : max(len(histories) // _TIMED, 1)][:_TIMED]
        speeds = _speeds([partial(variant.rank, timed) for variant in variants], len(timed), sizes.rounds, progress)
    rows = _rows(variants, lists, targets, sizes.seed)
    for row, speed in zip(rows, speeds, strict=True):
        row |= speed
    about = {"users": len(users), "k": K, "seed": sizes.seed, "lists timed": len(timed), "rounds": sizes.rounds}
    return {"about": about, "versions": versions(), "sizes": rows}


def _check_bits(bits: Sequence[int]) -> None:
    unknown = [number for number in bits if number not in BITS]
    if unknown or not bits or len(set(bits)) < len(bits):
        raise DataError(
            f"bits are {', '.join(map(str, bits)) or 'none'}, expected some of {', '.join(map(str, BITS))}, each once",
            "for example 16,8",
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _named(progress: Progress | None, name: str) -> Progress | None:
    return None if progress is None else lambda _, done, total: progress(f"ranking with {name}", done, total)


def _variants(
    models: Sequence[str], catalogue: Catalogue, bits: Sequence[int], progress: Progress | None
) -> Iterator[_Variant]:
    for model in models:
        engine = Recommender.from_pretrained(model, catalogue, progress)
        for number in bits:
            weights = WeightCache(engine.model)
            engine.model.config = engine.model.config.updated({"decoding.bits": number})
            if number != 16 and isinstance(weights.stack(), ModuleStack):
                raise DataError(
                    f"{model}: its base runs by its own code, whose matrices are not rounded", "measure --bits 16 alone"
                )
            weights.stack()  # laid out now, with these bits
            yield _Variant(f"{Path(model).name}, {number} bits", engine, weights, number)


def _speeds(
    calls: Sequence[Callable[[], Any]], lists: int, rounds: int, progress: Progress | None
) -> list[dict[str, Any]]:
    """Return lists a second of the processor's time for each call, which makes so many `lists`; all take turns."""
    seconds = np.zeros((rounds, len(calls)))
    for turn in range(rounds):
        for number, call in enumerate(calls):
            begin = time.process_time()
            call()
            seconds[turn, number] = time.process_time() - begin
        if progress:
            progress("timing lists", turn + 1, rounds)
    speeds = lists / seconds
    low, high = np.quantile(speeds, [0.25, 0.75], axis=0)
    return [
        {"lists a second": float(np.median(speeds[:, n])), "quartiles": [float(low[n]), float(high[n])]}
        for n in range(len(calls))
    ]


def _rows(variants: Sequence[_Variant], lists: np.ndarray, targets: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Return what the lists [variants, users, 10] are worth for the targets [users]."""
    hits = lists == targets[None, :, None]
    ranks = np.where(hits.any(-1), hits.argmax(-1) + 1, K + 1)
    resampled = Bootstrap(single_target_ndcg(ranks, K).T[:, :, None], seed)
    means, differences = resampled.means(), resampled.differences(0)
    rows: list[dict[str, Any]] = []
    for n, variant in enumerate(variants):
        shared = [len(np.intersect1d(mine, first)) / K for mine, first in zip(lists[n], lists[0], strict=True)]
        folder = resolve(variant.engine.source)
        rows.append(
            {
                "model": variant.name,
                "layers": variant.engine.model.config.base.rank_layers,
                "bits": variant.bits,
                "NDCG@10": float(means.mean[n, 0]),
                "interval": [float(means.low[n, 0]), float(means.high[n, 0])],
                "difference": float(differences.mean[n, 0]),
                "interval of that": [float(differences.low[n, 0]), float(differences.high[n, 0])],
                "same top 10": float(np.mean(shared)),
                "layers MB": variant.weights.stack().nbytes / 1e6,
                "folder MB": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
            }
        )
    return rows
