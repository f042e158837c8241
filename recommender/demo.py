"""The demo: a real user of MovieLens-100K, from raw media to ranked films with checked reasons, each step timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recommender import recipe
from recommender.config import Config
from recommender.engine import RankedItem, Recommender, Request
from recommender.histories import Histories, leave_one_out
from recommender.model.checkpoint import from_pretrained, resolve
from recommender.progress import progress_bars

CHECKPOINT = "adapters/movielens-100k"
SHOWN = 8
FRESH_AND_SHIPPED_AGREE = 0.98
"""Least mean cosine between vectors encoded here and those that the adapter was trained on."""


class _Steps:
    """Times the steps and says what each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def run_demo(out: Console, quiet: bool = False, user: int = 41) -> list[RankedItem]:
    """Print a user's last films, ten recommendations with reasons, what each modality gave, and the times."""
    step = _Steps()
    config = Config.load(resolve(CHECKPOINT) / "config.yaml")
    with progress_bars(quiet) as progress:
        with step("fetch data, make stand-in media"):
            catalogue = recipe.load_catalogue(config, progress)
            split = leave_one_out(Histories.load(config.data.interactions, catalogue, config.data.columns))
        with step("read title cards, spoken titles and texts with the encoders"):
            features = recipe.encode(config, catalogue, split.train.items, progress)
        with step("load the language model and the adapter"):
            checkpoint = from_pretrained(CHECKPOINT, catalogue, progress)
            agreement = _agreement(checkpoint.model.features.vectors, features.vectors)
            # with vectors from other media than it was trained on the adapter would guess: better the shipped ones
            if agreement >= FRESH_AND_SHIPPED_AGREE:
                checkpoint.model.set_features(features)
            model = Recommender(checkpoint)
    history = split.history_for("test")[user]
    ids = tuple(catalogue[int(i)].item_id for i in history)
    with step("rank the catalogue"):
        ranked = model.recommend(ids, k=10, explain=False)
    with step("explain: evidence, sentences, checks"):
        response = model.answer(Request(history=ids, k=10))
    with step("take each modality away"):
        found = [catalogue.index(item.item_id) for item in ranked]
        effects = model.contributions(history, found)
    _show(out, model, history, list(response.items), {str(m): e for m, e in effects.items()})
    _show_media(out, agreement, model.model.config.base.llm)
    _show_times(out, step.seconds)
    return list(response.items)


def _agreement(shipped: dict, fresh: dict) -> float:
    """Return the mean cosine between two sets of vectors of the encoders."""
    cosines = []
    for modality in ("text", "image", "audio"):
        a, b = torch.from_numpy(shipped[modality]), torch.from_numpy(fresh[modality])
        cosines.append(float(torch.nn.functional.cosine_similarity(a, b).mean()))
    return min(cosines)


def _show(
    out: Console, model: Recommender, history: np.ndarray, items: list[RankedItem], effects: dict[str, np.ndarray]
) -> None:
    seen = Table(title=f"The last {SHOWN} of the {len(history)} films that this user rated", title_justify="left")
    for column in ("film", "year", "genres"):
        seen.add_column(column)
    for index in history[-SHOWN:]:
        facts = model.catalogue.facts(int(index))
        row = (model.catalogue[int(index)].title, ", ".join(facts.get("year", ())), ", ".join(facts.get("genres", ())))
        seen.add_row(*map(Text, row))
    out.print(seen)
    table = Table(title="Recommended", title_justify="left", show_lines=True)
    table.add_column("")
    table.add_column("film")
    table.add_column("why (who wrote it)", ratio=1)
    for name in ("score", *effects):
        table.add_column(name[:6], justify="right", no_wrap=True)
    for row_, item in enumerate(items):
        why = Text(f"{item.justification} ({item.written_by})")
        numbers = [f"{effect[row_]:+.2f}" for effect in effects.values()]
        table.add_row(str(item.rank), Text(item.title), why, f"{item.score:.2f}", *numbers)
    out.print(table)
    out.print(
        "score: log-probability. text, image, audio, collab: how much of it rests on that signal (the score less the "
        "score without it). (model): written by the language model and found true; (plain): its draft failed the check, "
        "so a plain true sentence stands there.",
        highlight=False,
    )


def _show_media(out: Console, agreement: float, llm: str) -> None:
    out.print(
        f"MovieLens has no pictures and no sound: the title cards and spoken titles are stand-ins made from titles, years "
        f"and genres. Language model: {llm}. Vectors encoded here agree with the adapter's: cosine {agreement:.4f}.",
        highlight=False,
    )


def _show_times(out: Console, seconds: dict[str, float]) -> None:
    table = Table(title="Seconds", title_justify="left", show_header=False)
    table.add_column("step")
    table.add_column("s", justify="right")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.1f}")
    out.print(table)
