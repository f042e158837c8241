"""The demo: a real user of MovieLens-100K, from raw media to ranked films with checked reasons, each step timed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from recommender.config import Config, Modality
from recommender.data.catalogue import Catalogue, Item
from recommender.data.histories import Histories, leave_one_out
from recommender.encoders.features import Features
from recommender.encoders.pipeline import encode_catalogue, reduce
from recommender.engine import RankedItem, Recommender, Request
from recommender.model.checkpoint import from_pretrained, resolve
from recommender.pipelines import train
from recommender.progress import Progress

CHECKPOINT = "adapters/movielens-100k"
FRESH_AND_SHIPPED_AGREE = 0.98
"""Least mean cosine between vectors encoded here and those that the adapter was trained on."""


@dataclass(frozen=True)
class Demo:
    """What the demo found. `effects`: modality -> how much of each item's score [items] rests on it. `agreement`: mean
    cosine, of the worst modality, between the vectors encoded here and the adapter's; `fresh`: they agree, so those
    encoded here were used. `seconds`: of each step."""

    history: tuple[Item, ...]
    items: tuple[RankedItem, ...]
    effects: Mapping[Modality, np.ndarray]
    agreement: float
    fresh: bool
    llm: str
    seconds: Mapping[str, float]


class _Steps:
    """Times the steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def run_demo(progress: Progress | None = None, user: int = 41, k: int = 10) -> Demo:
    """Recommend `k` films to a user of MovieLens-100K (`user`: their place among the users), from raw media on."""
    step = _Steps()
    config = Config.load(resolve(CHECKPOINT) / "config.yaml")
    with step("fetch data, make stand-in media"):
        catalogue = train.load_catalogue(config, progress)
        split = leave_one_out(Histories.load(config.data.interactions, catalogue, config.data.columns))
    with step("read title cards, spoken titles and texts with the encoders"):
        raw = encode_catalogue(catalogue, config.encoders, progress)
    with step("load the language model and the adapter"):
        model = Recommender(from_pretrained(CHECKPOINT, catalogue, progress))
        shipped = model.model.features
        fresh = reduce(raw, shipped.reductions)
        agreement = _agreement(shipped, fresh)
        # with vectors from other media than it was trained on the adapter would guess: better the shipped ones
        used_fresh = agreement >= FRESH_AND_SHIPPED_AGREE
        if used_fresh:
            model.set_features(fresh.with_modality("collaborative", shipped.vectors["collaborative"]))
    history = split.history_for("test")[user]
    ids = tuple(catalogue[int(i)].item_id for i in history)
    with step(f"rank the {len(catalogue)} films"):
        ranked = model.recommend(ids, k=k, explain=False)
    with step("explain: evidence, sentences, checks"):
        items = model.answer(Request(history=ids, k=k)).items
    with step("take each modality away"):
        effects = model.contributions(history, [catalogue.index(item.item_id) for item in ranked])
    return Demo(_entries(catalogue, history), items, effects, agreement, used_fresh, config.base.llm, step.seconds)


def _entries(catalogue: Catalogue, history: np.ndarray) -> tuple[Item, ...]:
    return tuple(catalogue[int(index)] for index in history)


def _agreement(shipped: Features, fresh: Features) -> float:
    """Return the mean cosine between two sets of vectors of the encoders, of the modality where it is lowest."""
    return min(_cosine(shipped.vectors[m], fresh.vectors[m]) for m in fresh.vectors)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.maximum(norms, 1e-9)))
