"""One report of what made an item's score: its picture's regions, its sound's seconds, modalities, items of the history.

By intervention on the model as it ranks. The towers are frozen, so a picture with covered regions costs one pass of the
tower; and with one code an item all such pictures share one prefill of the prompt (`inference.replaced`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from recommender.attribution.drawing import heat_map, waveform
from recommender.attribution.media_worth import ItemScores, PictureWorth, SoundWorth
from recommender.attribution.report import (
    EXACT_UP_TO,
    HistoryEffect,
    MediaOptions,
    MediaReport,
    ModalityEffect,
    PictureEffect,
    SoundEffect,
    SoundWindow,
)
from recommender.attribution.towers import NOUNS, Medium, UnavailableError
from recommender.config import Modality
from recommender.engine import Engine, Recommender, Request
from recommender.engine.turns import turns_of
from recommender.errors import RecommenderError
from recommender.justify.evidence import shapley_values
from recommender.numerics.shapley import Worth, all_sets, exact_shapley, reliability, sampled_shapley
from recommender.numerics.turns import place_of

#: a map that another draw would rank less alike than this is called unstable
RELIABLE = 0.6
#: nats; a medium that moves the score by less has no map worth reading
LEAST = 1e-3
#: orders of a sound's windows: the tower runs once, so many are drawn
_WINDOW_ORDERS = 64


def explain_media(engine: Engine, request: Request, item_id: str, options: MediaOptions | None = None) -> MediaReport:
    """Explain an item's score behind a request's history by its picture, its sound, modalities and the history's items.

    `k` and `explain` of the request do not matter. A picture or sound that cannot be looked into is None, and `missing`
    says why. Raises RecommenderError for unknown ids, and for an engine that cannot read an item with other vectors.
    """
    if not isinstance(engine, Recommender):
        message = f"the {engine.name} engine cannot read an item with another picture or sound"
        raise RecommenderError(message, "ask the embedded engine")
    engine.check_parts(request.without)
    with engine.switched(request):
        return _Explanation(engine, request, item_id, options or MediaOptions()).report()


class _Explanation:
    """What one report is made of."""

    def __init__(self, engine: Recommender, request: Request, item_id: str, options: MediaOptions) -> None:
        self.engine, self.request, self.options = engine, request, options
        self.catalogue = engine.catalogue
        self.history, self.item = engine.known(request), self.catalogue.index(item_id)
        self.overrides = engine.overrides(request)
        self.allowed = engine.rules.allowed(request, self.catalogue.indices(request.history)).numpy()
        self.boosts = engine.boosts(request)
        self.scores = ItemScores(engine, self.history, self.item, request.query, self.overrides)
        self.missing: dict[str, str] = {}

    def report(self) -> MediaReport:
        """Return the report."""
        score, rank = self._standing()
        own = float(self.scores.behind([self.history])[0])
        entry = self.catalogue[self.item]
        modalities, history = self._modalities(), self._history()
        picture, sound = self._picture(own), self._sound(own)
        return MediaReport(
            entry.item_id, entry.title, score, rank, modalities, history, picture, sound, self.missing, self._method()
        )

    def _method(self) -> dict[str, object]:
        options = self.options
        return {
            "regions": _way(options.rows * options.columns),
            "windows": _way(options.windows),
            "orders": options.orders,
            "seed": options.seed,
            "fill": options.fill,
            "evaluations": self.scores.evaluations,
        }

    def _standing(self) -> tuple[float, int]:
        """Return the score that the item is ranked by, and its rank among what may be listed and itself."""
        request = self.request
        scores = self.engine.score_all([self.history], request.query, request.fusing, self.overrides, self.boosts)[0]
        turns = turns_of(self.catalogue, request.domains)
        return float(scores[self.item]), place_of(self.item, scores, self.allowed, request.k, turns)

    def _rank_without(self, modalities: Collection[Modality], items: list[int]) -> int:
        with self.engine.reading_without(modalities, items):
            return self._standing()[1]

    def _modalities(self) -> tuple[ModalityEffect, ...]:
        names = tuple(m for m in self.engine.model.modalities if m not in self.request.without)
        if not names:
            return ()
        items = sorted({self.item, *self.history.tolist()})
        sets = all_sets(len(names))
        values = np.array([self._score_without(_unnamed(names, members), items) for members in sets])
        effects = exact_shapley(len(names), lambda _: values[:, None])[:, 0].tolist()
        everything = len(sets) - 1
        signs = [
            {np.sign(effect), np.sign(values[1 << n] - values[0]), np.sign(values[-1] - values[everything ^ 1 << n])}
            for n, effect in enumerate(effects)
        ]
        return tuple(
            ModalityEffect(name, effect, self._rank_without([name], items), len(seen) == 1, self._imputed(name, items))
            for name, effect, seen in zip(names, effects, signs, strict=True)
        )

    def _imputed(self, modality: Modality, items: list[int]) -> int:
        marks = self.engine.features.imputed.get(modality)
        return 0 if marks is None else int(marks[items].sum())

    def _score_without(self, modalities: Collection[Modality], items: list[int]) -> float:
        self.scores.evaluations += 1
        with self.engine.reading_without(modalities, items):
            return float(self.scores.behind([self.history])[0])

    def _history(self) -> tuple[HistoryEffect, ...]:
        window = self.engine.config.justify.window
        tested = list(dict.fromkeys(self.history[::-1][:window].tolist()))
        if not tested:
            return ()

        def score(histories: Sequence[np.ndarray], items: Sequence[int]) -> np.ndarray:
            self.scores.evaluations += len(histories)
            return self.scores.behind(histories)[:, None]

        options = self.options
        values = shapley_values(self.history, tested, [self.item], score, options.history_orders, options.seed)[:, 0]
        order = np.argsort(-np.abs(values), kind="stable")
        entries = [(self.catalogue[tested[n]], float(values[n])) for n in order]
        return tuple(HistoryEffect(entry.item_id, entry.title, value) for entry, value in entries)

    def _picture(self, own: float) -> PictureEffect | None:
        try:
            self._check_on("image")
            worth = PictureWorth(self.scores, self.options)
        except UnavailableError as error:
            self.missing["picture"] = str(error)
            return None
        regions = worth.regions
        values, reliable = region_values(len(regions), worth, self.options)
        effect = self._effect("image", own)
        return PictureEffect(
            self.catalogue[self.item].item_id,
            tuple(tuple(row) for row in values.reshape(regions.rows, regions.columns).tolist()),
            effect,
            effect - float(values.sum()),
            self._rank_without(["image"], [self.item]),
            reliable,
            reliable < RELIABLE or float(np.abs(values).max()) < LEAST,
            heat_map(regions, values),
        )

    def _sound(self, own: float) -> SoundEffect | None:
        try:
            self._check_on("audio")
            worth = SoundWorth(self.scores, self.options)
        except UnavailableError as error:
            self.missing["sound"] = str(error)
            return None
        windows = worth.windows
        values, reliable = window_values(len(windows), worth, self.options.seed)
        edges, effect = windows.edges.tolist(), self._effect("audio", own)
        return SoundEffect(
            self.catalogue[self.item].item_id,
            windows.seconds,
            tuple(SoundWindow(*window) for window in zip(edges, edges[1:], values.tolist(), strict=False)),
            effect,
            effect - float(values.sum()),
            self._rank_without(["audio"], [self.item]),
            reliable,
            reliable < RELIABLE or float(np.abs(values).max()) < LEAST,
            waveform(windows, values),
        )

    def _check_on(self, medium: Medium) -> None:
        if medium in self.request.without:
            raise UnavailableError(f"the request switches {NOUNS[medium]}s off")

    def _effect(self, medium: Medium, own: float) -> float:
        return own - self.scores.without(medium)


def region_values(regions: int, worth: Worth, options: MediaOptions) -> tuple[np.ndarray, float]:
    """Return the Shapley values [regions] of a picture, and how reliable they are: exact up to `EXACT_UP_TO` regions."""
    if regions <= EXACT_UP_TO:
        return exact_shapley(regions, worth)[:, 0], 1.0
    added = sampled_shapley(regions, worth, options.orders, options.seed)[..., 0]
    return added.mean(0), reliability(added)


def window_values(windows: int, worth: Worth, seed: int) -> tuple[np.ndarray, float]:
    """Return the Shapley values [windows] of a sound, and how reliable they are."""
    if windows <= EXACT_UP_TO:
        return exact_shapley(windows, worth)[:, 0], 1.0
    added = sampled_shapley(windows, worth, _WINDOW_ORDERS, seed)[..., 0]
    return added.mean(0), reliability(added)


def _way(parts: int) -> str:
    return "exact Shapley" if parts <= EXACT_UP_TO else "sampled Shapley"


def _unnamed(names: tuple[Modality, ...], members: np.ndarray) -> list[Modality]:
    return [name for name, is_member in zip(names, members, strict=True) if not is_member]
