"""The demo: a real user of MovieLens-100K, from raw media to ranked films with checked justifications, each step timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from recommender.config import Config, Modality
from recommender.data.catalogue import Item
from recommender.data.histories import Histories, Split, leave_one_out
from recommender.encoders.features import Features
from recommender.encoders.pipeline import encode_catalogue, reduce
from recommender.engine import RankedItem, Recommender, Request
from recommender.model.checkpoint import from_pretrained, resolve
from recommender.pipelines import train
from recommender.progress import Progress

CHECKPOINT = "movielens-100k"
FRESH_AND_SHIPPED_AGREE = 0.98
"""Least mean cosine between vectors encoded here and those that the adapter was trained on."""
RECENT = 8
"""The last items of a history that decide which user the demo shows."""
SPEECH_MODULES = ("whisper", "espeakng_loader")
"""What speaks the titles and listens to them: the extra `demo`."""


class Answer(Protocol):
    """What was replied to a message."""

    @property
    def text(self) -> str:
        """All of it in words."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        ...


#: engine -> what somebody says to it, message by message, with each answer
Talk = Callable[[Recommender], Iterable[tuple[str, Answer]]]


@dataclass(frozen=True)
class Demo:
    """What the demo found. `items`: the recommendations, `films` what is known of each. `next_item`: what the user really
    chose next, hidden from the model, and `next_rank` its place among the `ranked` films that were not seen. `effects`:
    modality -> how much of each item's score [items] rests on it. `agreement`: mean cosine, of the worst modality, between
    the vectors encoded here and the adapter's; `fresh`: they agree, so those encoded here were used. `conversation`: what
    somebody else said, and what was replied. `notes`: what else a reader should know. `seconds`: of each step."""

    history: tuple[Item, ...]
    items: tuple[RankedItem, ...]
    films: tuple[Item, ...]
    next_item: Item
    next_rank: int
    ranked: int
    effects: Mapping[Modality, np.ndarray]
    agreement: float
    fresh: bool
    conversation: tuple[tuple[str, Answer], ...]
    notes: tuple[str, ...]
    llm: str
    seconds: Mapping[str, float]


class _Stopwatch:
    """Times the steps, and shows each of them as progress."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress or (lambda what, done, total: None)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self._progress(name, 0, 1)
        yield
        self._progress(name, 1, 1)
        self.seconds[name] = time.perf_counter() - started


def run_demo(progress: Progress | None = None, user: int | None = None, k: int = 10, talk: Talk | None = None) -> Demo:
    """Recommend `k` films to a user of MovieLens-100K, from raw media on.

    `user`: their place among the users; by default the one whose recent films are known best (`well_known_user`). `talk`: a
    conversation that is had with the model at the end.
    """
    step = _Stopwatch(progress)
    speaks, config = can_speak(), demo_config()
    with step("fetch data, make stand-in media"):
        catalogue = train.load_catalogue(config, progress)
        split = leave_one_out(Histories.load(config.data.interactions, catalogue, config.data))
    with step("encode the media"):
        raw = encode_catalogue(catalogue, config.encoders, progress)
    with step("load the language model"):
        model = Recommender(from_pretrained(CHECKPOINT, catalogue, progress))
        shipped = model.model.features
        fresh = reduce(raw, shipped.reductions)
        agreement = min(_mean_cosine(shipped.vectors[m], fresh.vectors[m]) for m in raw.vectors)
        # with vectors from other media than it was trained on the adapter would guess: better the shipped ones
        used_fresh = agreement >= FRESH_AND_SHIPPED_AGREE
        if used_fresh:
            model.set_features(_completed(fresh, shipped, set(raw.vectors)))
    user = well_known_user(split, len(catalogue)) if user is None else user
    history = split.history_for("test")[user]
    ids = tuple(catalogue[int(i)].item_id for i in history)
    next_item = catalogue[int(split.test[user])]
    with step(f"rank the {len(catalogue)} films"):
        ranked = [item.item_id for item in model.recommend(ids, k=len(catalogue) - len(set(ids)), explain=False)]
    with step("justify: evidence, sentences, checks"):
        items = model.answer(Request(history=ids, k=k)).items
    with step("take each modality away"):
        effects = model.contributions(history, [catalogue.index(item.item_id) for item in items])
    with step("hear a conversation"):
        conversation = () if talk is None else tuple(talk(model))
    return Demo(
        history=tuple(catalogue[int(index)] for index in history),
        items=items,
        films=tuple(catalogue[catalogue.index(item.item_id)] for item in items),
        next_item=next_item,
        next_rank=ranked.index(next_item.item_id) + 1,
        ranked=len(ranked),
        effects=effects,
        agreement=agreement,
        fresh=used_fresh,
        conversation=conversation,
        notes=_notes(speaks, used_fresh),
        llm=config.base.llm,
        seconds=step.seconds,
    )


def demo_config() -> Config:
    """Return the config of the demo's media: without sounds where the titles cannot be spoken."""
    config = Config.load(resolve(CHECKPOINT) / "config.yaml")
    return config if can_speak() else config.updated({"encoders.audio": None})


def demo_model(progress: Progress | None = None) -> Recommender:
    """Return the shipped model over films with stand-in media: title cards, and spoken titles where they can be spoken."""
    return Recommender(from_pretrained(CHECKPOINT, train.load_catalogue(demo_config(), progress), progress))


def well_known_user(split: Split, items: int, recent: int = RECENT) -> int:
    """Return the place of the user whose recent films a reader most likely knows.

    That is the one whose least popular film among the last `recent` before the hidden one is the most popular. `items`:
    size of the catalogue; popularity is counted in the training histories.
    """
    popularity = np.bincount(np.concatenate(split.train.items), minlength=items)
    histories = split.history_for("test")
    least = [
        popularity[history[-recent:]].min() if len(history) >= recent and target >= 0 else -1
        for history, target in zip(histories, split.test, strict=True)
    ]
    return int(np.argmax(least))


def can_speak() -> bool:
    """Return whether the titles can be spoken and listened to: the extra `demo` is installed."""
    return all(find_spec(module) is not None for module in SPEECH_MODULES)


def _notes(speaks: bool, fresh: bool) -> tuple[str, ...]:
    """Return what a reader should know of the media and the vectors."""
    media = "title cards and spoken titles" if speaks else "title cards"
    notes = [
        f"MovieLens has no pictures and no sound. The {media} that were encoded are stand-ins, made from titles, years and"
        " genres."
    ]
    if not speaks:
        notes.append(
            "The sound vectors are those of the adapter. To encode sound here: pip install 'recommender[demo]'"
        )
    if not fresh:
        notes.append("The vectors encoded here differ from the adapter's, so those of the adapter were used.")
    return tuple(notes)


def _completed(fresh: Features, shipped: Features, encoded: set[Modality]) -> Features:
    """Return fresh vectors, and those of the adapter for each modality that was not `encoded` here."""
    for modality in shipped.vectors:
        if modality not in encoded:
            fresh = fresh.with_modality(modality, shipped.vectors[modality])
    return fresh


def _mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.maximum(norms, 1e-9)))
