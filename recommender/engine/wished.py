"""A wish in words as something that ranks: what is written of each item, compared with what was said.

A ranker that learned from histories alone hardly reads a sentence before one (eval/LOG.md), while a sentence encoder tells
well what a sentence means and nothing of taste. So the two are added: the language model's log-probability, and nats for
how much more than others an item's text is like the wish.
"""

from __future__ import annotations

import logging

import numpy as np

from recommender.config import Config
from recommender.encoders.features import Features
from recommender.encoders.text import TextEncoder
from recommender.errors import AssetError

logger = logging.getLogger(__name__)


class Wished:
    """The items' text vectors, and the encoder that a wish goes through to lie among them."""

    def __init__(self, encoder: TextEncoder, features: Features, nats: float) -> None:
        """`nats`: for one standard deviation of likeness."""
        self._nats, self._encoder, self._reduction = nats, encoder, features.reductions["text"]
        self._vectors, self._present = _unit(features.vectors["text"]), features.present["text"]

    @classmethod
    def of(cls, config: Config, features: Features) -> Wished | None:
        """Return what hears wishes for a model; None if it has no texts, or not the encoder that read them, or is not to."""
        if not config.decoding.wish_nats or config.encoders.text is None or "text" not in features.reductions:
            return None
        encoder = TextEncoder(config.encoders.text)
        try:
            is_other = encoder.identity != features.reductions["text"].encoder
            encoder.load()
        except AssetError as error:
            logger.warning("wishes are left to the language model: %s", error.message)
            return None
        if is_other:
            logger.warning("wishes are left to the language model: encoders.text is not what read the items' texts")
            return None
        return cls(encoder, features, config.decoding.wish_nats)

    def gains(self, wish: str) -> np.ndarray:
        """Return float32 [items]: nats that each item's score rises by; 0 on average, and 0 for one without a text."""
        said = self._reduction.apply(self._encoder.encode([self._encoder.prepare(wish)]))
        likeness = self._vectors @ _unit(said)[0]
        known = likeness[self._present]
        if not len(known) or not (spread := float(known.std())):
            return np.zeros(len(likeness), np.float32)
        return np.where(self._present, self._nats * (likeness - known.mean()) / spread, 0.0).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))
