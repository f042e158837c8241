"""A query in words as something that ranks: it is compared with what is written of each item.

A ranker that learned from histories alone hardly reads a sentence before one (eval/LOG.md), while a sentence encoder tells
well what a sentence means and nothing of taste. So the two are added: the language model's log-probability, and nats for
how much more than others an item's text is like the query.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

import numpy as np

from recommender.encoders.features import Features
from recommender.encoders.reduction import Reduction
from recommender.encoders.text import TextEncoder
from recommender.errors import AssetError
from recommender.numerics.vectors import unit_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueryScorer:
    """The items' text vectors of unit length [items, width], which items have one [items], and what reads a query."""

    encoder: TextEncoder
    reduction: Reduction
    vectors: np.ndarray
    present: np.ndarray

    def likeness(self, query: str) -> np.ndarray:
        """Return float32 [items]: how like the query each text is, in standard deviations from the mean; 0 without a
        text."""
        vector = self.reduction.apply(self.encoder.encode([self.encoder.prepare(query)]))
        cosines = self.vectors @ unit_rows(vector)[0]
        with_text = cosines[self.present]
        if not len(with_text) or not (spread := float(with_text.std())):
            return np.zeros(len(cosines), np.float32)
        return np.where(self.present, (cosines - with_text.mean()) / spread, 0.0).astype(np.float32)


class QueryScorerCache:
    """The query scorer of one model, made when the first query comes; adapters of a server share it.

    `unavailable_reason`: why queries are left to the language model, if they are.
    """

    def __init__(self) -> None:
        self.unavailable_reason = ""
        self._lock = threading.Lock()
        self._cached: tuple[Features, str | None, QueryScorer | None] | None = None

    def __call__(self, features: Features, encoder: str | None) -> QueryScorer | None:
        """Return what scores queries for items of these features with the encoder of this name; None if nothing can."""
        with self._lock:  # a library that loads a model changes the state of the process while it does
            if self._cached is None or self._cached[0] is not features or self._cached[1] != encoder:
                self._cached = features, encoder, self._make(features, encoder)
            return self._cached[2]

    def _make(self, features: Features, name: str | None) -> QueryScorer | None:
        self.unavailable_reason = "the items' texts were not read by an encoder that is at hand"
        reduction = features.reductions.get("text")
        if name is None or reduction is None:
            return None
        encoder = TextEncoder(name)
        try:
            if encoder.identity != reduction.encoder:
                return None
            encoder.load()
        except AssetError as error:
            self.unavailable_reason = "its text encoder is not at hand"  # the message names files of this machine
            logger.warning("queries are left to the language model: %s", error.message)
            return None
        self.unavailable_reason = ""
        return QueryScorer(encoder, reduction, unit_rows(features.vectors["text"]), features.present["text"])
