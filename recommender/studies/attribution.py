"""The study of attribution over media: curves against random and centre orders, sanity, stability over seeds, time.

Sanity: the map of a model whose projector is random must be another (Adebayo et al., "Sanity Checks for Saliency Maps",
NeurIPS 2018); it is compared with what another seed makes of the model itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from recommender.attribution import MediaOptions, explain_media
from recommender.attribution.explain import region_values, window_values
from recommender.attribution.media_worth import ItemScores, PictureWorth, SoundWorth
from recommender.attribution.towers import NOUNS, Medium, UnavailableError
from recommender.engine import Recommender, make_request
from recommender.errors import DataError
from recommender.numerics.shapley import rank_correlation
from recommender.progress import Progress
from recommender.studies.attribution_curves import (
    ATTRIBUTION,
    CENTRE,
    RANDOM,
    compared,
    curves,
    mean_interval,
    measures,
    orders_of,
)

#: items of a list that are looked at for one with the medium
_LOOKED_AT = 10
#: cases of which maps of other seeds are made
_SEEDED = 10
_ORDERS = (ATTRIBUTION, RANDOM, CENTRE)


@dataclass(frozen=True)
class Case:
    """A recommended item behind a history, and its map: `values` [parts]."""

    number: int
    worth: PictureWorth | SoundWorth
    values: np.ndarray
    reliable: float

    @property
    def medium(self) -> Medium:
        """Which medium is looked into."""
        return "image" if isinstance(self.worth, PictureWorth) else "audio"

    def scores(self, sets: np.ndarray) -> np.ndarray:
        """Return the scores [sets] with some parts only: of pictures, or sounds, that were made so and read anew."""
        if isinstance(self.worth, PictureWorth):
            return self.worth(sets)[:, 0]
        return self.worth.of_sounds([self.worth.windows.silenced(heard) for heard in sets])

    @property
    def from_centre(self) -> np.ndarray:
        """How far each part is from the middle [parts]."""
        if isinstance(self.worth, SoundWorth):
            return np.abs(np.arange(len(self.values)) - (len(self.values) - 1) / 2)
        width, height = self.worth.regions.picture.size
        boxes = np.array(self.worth.regions.boxes, float)
        return np.hypot((boxes[:, 0] + boxes[:, 2]) / 2 / width - 0.5, (boxes[:, 1] + boxes[:, 3]) / 2 / height - 0.5)


def attribution_study(
    engine: Recommender,
    histories: Sequence[np.ndarray],
    options: MediaOptions | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure the maps of the first item that is recommended for each history, of each medium that the model reads.

    Raises DataError if no such item has a picture or sound that can be looked into.
    """
    options = options or MediaOptions()
    media: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for medium in (m for m in NOUNS if m in engine.model.modalities):
        found = _measured(engine, medium, histories, options, seed, progress)
        if isinstance(found, str):
            reasons[medium] = found
        else:
            media[medium] = found
    if not media:
        why = "; ".join(reasons.values()) or "the model reads neither pictures nor sounds"
        raise DataError(f"there is no picture or sound to look into ({why})", "name the table with the media: --items")
    grid = [options.rows, options.columns]
    asked = {"grid": grid, "orders": options.orders, "windows": options.windows, "fill": options.fill, "seed": seed}
    about = {"model": engine.source, "histories": len(histories), **asked}
    return {"about": about, "media": media, "seconds": _times(engine, histories, options)}


def _measured(
    engine: Recommender,
    medium: Medium,
    histories: Sequence[np.ndarray],
    options: MediaOptions,
    seed: int,
    progress: Progress | None,
) -> dict[str, Any] | str:
    """Return what is measured of a medium, or why nothing is."""
    rows, lines, reason = [], [], "nobody to recommend to"
    sane: list[float] = []
    steady: list[float] = []
    reliable: list[float] = []
    for number, history in enumerate(histories):
        if progress:
            progress(f"maps of {NOUNS[medium]}s", number, len(histories))
        try:
            case = first_case(engine, medium, history, number, options)
        except UnavailableError as error:
            reason = str(error)
            continue
        found = curves(orders_of(case.values, case.from_centre, [seed, number]), len(case.values), case.scores)
        rows.append([measures(found[name]) for name in _ORDERS])
        lines.append([found[name] for name in _ORDERS])
        reliable.append(case.reliable)
        with random_projector(engine, medium, seed + number):
            sane.append(rank_correlation(case.values, part_values(case.worth, options)[0]))
        if len(steady) < _SEEDED:
            again = part_values(case.worth, replace(options, seed=options.seed + 1 + number))[0]
            steady.append(rank_correlation(case.values, again))
    if progress:
        progress(f"maps of {NOUNS[medium]}s", len(histories), len(histories))
    if not rows:
        return reason
    return {
        "cases": len(rows),
        "compared": compared(np.array(rows), seed),
        "curves": {name: np.mean(lines, 0)[n].round(4).tolist() for n, name in enumerate(_ORDERS)},
        "rank correlation with a random projector": mean_interval(sane, seed),
        "rank correlation with another seed": mean_interval(steady, seed),
        "reliability": mean_interval(reliable, seed),
    }


def first_case(engine: Recommender, medium: Medium, history: np.ndarray, number: int, options: MediaOptions) -> Case:
    """Return the case of the first recommended item with the medium. Raises UnavailableError if the first few have none."""
    reason = UnavailableError("nothing is recommended")
    for item in engine.rank([history], _LOOKED_AT)[0].items.tolist():
        scores = ItemScores(engine, history, item, None, {})
        try:
            worth = PictureWorth(scores, options) if medium == "image" else SoundWorth(scores, options)
        except UnavailableError as error:
            reason = error
            continue
        return Case(number, worth, *part_values(worth, options))
    raise reason


def part_values(worth: PictureWorth | SoundWorth, options: MediaOptions) -> tuple[np.ndarray, float]:
    """Return the values [parts] of a medium's parts, and how reliable they are, as a report has them."""
    if isinstance(worth, PictureWorth):
        return region_values(len(worth.regions), worth, options)
    return window_values(len(worth.windows), worth, options.seed)


@contextmanager
def random_projector(engine: Recommender, medium: Medium, seed: int) -> Iterator[None]:
    """Within the block the model's projector of a medium has random weights, each table's as large as the trained ones."""
    projector, generator = engine.model.projectors[medium], torch.Generator().manual_seed(seed)
    trained = [parameter.detach().clone() for parameter in projector.parameters()]
    try:
        with torch.no_grad():
            for parameter in projector.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * parameter.detach().square().mean().sqrt().cpu())
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(projector.parameters(), trained, strict=True):
                parameter.copy_(before)


def _times(engine: Recommender, histories: Sequence[np.ndarray], options: MediaOptions) -> dict[str, float]:
    """Return how long whole reports take, in seconds, once everything is loaded."""
    seconds = []
    for history in histories[:5]:
        item = engine.catalogue[int(engine.rank([history], 1)[0].items[0])].item_id
        request = make_request(history=[engine.catalogue[int(i)].item_id for i in history], explain=False)
        start = time.perf_counter()
        explain_media(engine, request, item, options)
        seconds.append(time.perf_counter() - start)
    return {"reports": len(seconds), "median": round(float(np.median(seconds)), 2), "longest": round(max(seconds), 2)}
