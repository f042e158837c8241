"""What parts of an item's picture or sound are worth: the item's score with the other parts left out.

Everything is as when the item was first read: encoded by the frozen tower, reduced, bounded, rounded, projected. The whole
medium is the model's own vector of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from recommender.attribution.moments import Windows
from recommender.attribution.regions import Regions
from recommender.attribution.report import MediaOptions
from recommender.attribution.towers import (
    NOUNS,
    Medium,
    UnavailableError,
    encoded,
    own_vector,
    readable,
    reduced,
    tower_of,
)
from recommender.data.media import read_image
from recommender.encoders.audio import AudioEncoder
from recommender.encoders.cached_batches import map_in_threads
from recommender.encoders.music import MusicEncoder
from recommender.engine.background import check_stop
from recommender.engine.embedded import Recommender
from recommender.prompting.example import VectorOverrides

#: pictures that are encoded together
_PICTURES = 32
#: sounds that are encoded together
_SOUNDS = 8


@dataclass
class ItemScores:
    """Scores of one item behind one history. `evaluations`: how many were asked for."""

    engine: Recommender
    history: np.ndarray
    item: int
    query: str | None
    overrides: VectorOverrides
    evaluations: int = field(default=0)

    def with_vectors(self, medium: Medium, vectors: np.ndarray) -> np.ndarray:
        """Return the scores [n] of the item with each of `vectors` [n, width] as its picture or sound."""
        self.evaluations += len(vectors)
        replaced = self.engine.score_replaced(self.history, self.item, medium, vectors, self.query, self.overrides)
        return replaced.astype(np.float64)

    def without(self, medium: Medium) -> float:
        """Return the score of the item without picture or sound."""
        self.evaluations += 1
        with self.engine.reading_without((medium,), [self.item]):
            return float(self.behind([self.history])[0])

    def behind(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the scores [histories] of the item behind other histories."""
        return self.engine.score(histories, [self.item], self.query, self.overrides)[:, 0].astype(np.float64)


class PictureWorth:
    """What regions of an item's picture are worth. Raises UnavailableError where it cannot be looked into."""

    def __init__(self, scores: ItemScores, options: MediaOptions) -> None:
        engine = scores.engine
        self.scores, self.features = scores, engine.features
        _check_own(scores, "image")
        self.tower = tower_of(engine.config, self.features, "image")
        picture = readable(engine.catalogue[scores.item], "image", self.tower, read_image)
        self.regions = Regions.of(picture, options.rows, options.columns, options.fill)
        own = own_vector(self.features, "image", scores.item, self.vectors([picture])[0])
        #: sets of regions that have been encoded, and their vectors: the whole picture's is the model's own
        self._known = {np.ones(len(self.regions), bool).tobytes(): own}

    def vectors(self, pictures: list[Image.Image]) -> np.ndarray:
        """Return the vectors [n, width] that the model would have of pictures."""
        prepared = map_in_threads(self.tower.prepare, pictures)
        return reduced(self.features, "image", self.tower, encoded(self.tower, prepared, _PICTURES, check_stop))

    def __call__(self, sets: np.ndarray) -> np.ndarray:
        """Return the scores [sets, 1] with some regions shown, the others covered; `sets` bool [sets, regions]."""
        names = [members.tobytes() for members in sets]
        new = {name: row for row, name in enumerate(names) if name not in self._known}
        if new:
            pictures = [self.regions.showing(sets[row]) for row in new.values()]
            self._known.update(zip(new, self.vectors(pictures), strict=True))
        return self.scores.with_vectors("image", np.stack([self._known[name] for name in names]))[:, None]


class SoundWorth:
    """What windows of an item's sound are worth. Raises UnavailableError where it cannot be looked into."""

    def __init__(self, scores: ItemScores, options: MediaOptions) -> None:
        engine = scores.engine
        self.scores, self.features = scores, engine.features
        _check_own(scores, "audio")
        tower = tower_of(engine.config, self.features, "audio")
        assert isinstance(tower, AudioEncoder | MusicEncoder)
        self.tower = tower
        sound = readable(engine.catalogue[scores.item], "audio", tower, tower.prepare)
        self.windows = Windows.of(sound, tower, options.windows)
        everything = np.ones((1, len(self.windows)), bool)
        self.own = own_vector(self.features, "audio", scores.item, self.vectors(everything)[0])

    def vectors(self, sets: np.ndarray) -> np.ndarray:
        """Return the vectors [sets, width] that the model would have with some windows silent; bool [sets, windows]."""
        return reduced(self.features, "audio", self.tower, self.windows.hearing(sets))

    def of_sounds(self, sounds: list[np.ndarray]) -> np.ndarray:
        """Return the scores [n] of the item with other sounds, read anew by the tower."""
        raw = encoded(self.tower, sounds, _SOUNDS, check_stop)
        return self.scores.with_vectors("audio", reduced(self.features, "audio", self.tower, raw))

    def __call__(self, sets: np.ndarray) -> np.ndarray:
        """Return the scores [sets, 1] with some windows heard, the others silent; `sets` bool [sets, windows]."""
        whole = np.asarray(sets.all(1))
        vectors = np.where(whole[:, None], self.own, self.vectors(sets))
        return self.scores.with_vectors("audio", vectors)[:, None]


def _check_own(scores: ItemScores, medium: Medium) -> None:
    """Raise UnavailableError where the item's own medium is not what is read, or changes no score."""
    if medium in scores.overrides.get(scores.item, {}):
        raise UnavailableError("the request brings a vector in its place")
    imputed = scores.engine.features.imputed
    if medium in imputed and imputed[medium][scores.item]:
        raise UnavailableError(
            f"the item has no {NOUNS[medium]}: in its place the model reads what the nearest items have"
        )
    levels, read = scores.engine.model.ids.levels, scores.item in scores.history
    if levels > 1 and not read and medium in scores.engine.model.modalities:
        raise UnavailableError(
            f"an item of {levels} codes is ranked by these, and what it has of its own changes no score"
        )
