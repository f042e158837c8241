"""The interface of a baseline, and what it is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from recommender.encoders.features import Features
from recommender.errors import DataError
from recommender.progress import Progress


class Baseline(Protocol):
    """A recommender that scores the whole catalogue for any history.

    name: how it is called on the command line and in tables; the same as its key in `BASELINES`.
    """

    name: str

    def fit(self, data: FitData) -> None:
        """Learn from the histories and, if the baseline uses it, from the items' content."""

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 [users, items], higher is better. Seen items are scored too; -inf means "never rank"."""


class ItemContent:
    """The items' texts, and their encoded vectors, which are computed on first use because that takes minutes."""

    def __init__(self, texts: Sequence[str], encode: Callable[[], Features]) -> None:
        """Take one document an item, and a function that returns the vectors of texts, images and sounds."""
        self.texts = texts
        self._encode = encode

    @cached_property
    def features(self) -> Features:
        """Text, image and audio vectors of the items; no collaborative ones, which depend on the histories."""
        return self._encode()


@dataclass(frozen=True)
class FitData:
    """What a baseline is fitted on.

    histories: catalogue indices, oldest first, without the evaluation's targets. A baseline that needs a validation
        target takes the last item of each history.
    items: size of the catalogue.
    content: None where there is none; `need_content` then raises one clear error.
    """

    histories: Sequence[np.ndarray]
    items: int
    content: ItemContent | None = None
    seed: int = 0
    progress: Progress | None = None

    def need_content(self, name: str) -> ItemContent:
        """Return the content. Raises DataError naming the baseline that needs it."""
        if self.content is None:
            raise DataError(f"{name} needs the items' content, and there is none", "evaluate it on a catalogue")
        return self.content

    def need_text(self, name: str) -> np.ndarray:
        """Return the items' text vectors, float32 [items, width]. Raises DataError naming the baseline that needs them."""
        vectors = self.need_content(name).features.vectors
        if "text" not in vectors:
            reason = f"{name} needs the items' text vectors, and there are none"
            raise DataError(reason, "name an encoder under encoders.text; the items need titles or texts")
        return np.asarray(vectors["text"], np.float32)
