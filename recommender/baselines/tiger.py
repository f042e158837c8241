"""TIGER of the library cornac: an encoder-decoder that generates the semantic id of the next item."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from recommender.baselines.baseline import FitData
from recommender.baselines.reproducible import reproducible
from recommender.errors import DataError, import_extra

_REACHED = -1e9  # cornac scores items that its beam does not reach -1e10


class Tiger:
    """Generative retrieval: residual k-means turns text vectors into codes, a T5 generates the codes of the next item.

    Rajput et al., "Recommender systems with generative retrieval", NeurIPS 2023; k-means in place of their RQ-VAE as in
    Ju et al., "Generative recommendation with semantic IDs: a practitioner's handbook", 2025. Items outside the beam
    score -inf, that is, they are not ranked; an empty history gets the items' popularity.

    It is made for accelerators: every position of a history is a training example, with 4 codes an item. To stay near
    three minutes of one core on MovieLens-100K it is smaller than the paper's (width 64 and 2 + 2 layers instead of 128
    and 4 + 4, 64 codes a level instead of 256), reads the last `history` items, learns the last `recent` positions of
    each history and trains for a fixed number of `epochs`, far from convergence. Its figures show what it reaches at
    that cost, not what it can do.
    """

    name = "tiger"

    def __init__(
        self,
        epochs: int = 4,
        recent: int = 40,
        history: int = 10,
        beam: int = 100,
        width: int = 64,
        layers: int = 2,
        codebook: int = 64,
        learning_rate: float = 1e-3,
    ) -> None:
        self.epochs, self.recent, self.history, self.beam = epochs, recent, history, beam
        self.width, self.layers, self.codebook, self.learning_rate = width, layers, codebook, learning_rate

    def fit(self, data: FitData) -> None:
        """Make the codes and train. Raises RecommenderError without content, cornac, or a history of two items."""
        cornac = import_extra("cornac", self.name, "eval")
        text = data.need_text(self.name)
        recent = [history[-self.recent :] for history in data.histories if len(history) > 1]
        if not recent:
            raise DataError(f"{self.name} needs a history of two items or more", "give more interactions")
        counts = np.bincount(np.concatenate(data.histories), minlength=data.items)
        self._popularity = counts.astype(np.float32)
        sessions = _sessions(cornac, recent, data.items)
        sessions.item_feature = cornac.data.FeatureModality(features=text)
        self._model = cornac.models.TIGER(
            tokenizer="rkmeans",
            rqvae_codebook_size=self.codebook,
            d_model=self.width,
            d_ff=4 * self.width,
            num_heads=4,
            d_kv=self.width // 4,
            num_enc_layers=self.layers,
            num_dec_layers=self.layers,
            max_len=self.history,
            n_epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=128,
            n_beams=self.beam,
            device="cpu",
            seed=data.seed,
        )
        with reproducible(data.seed), _without_warnings():
            self._model.fit(sessions)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the log probabilities of the items in the beam, -inf elsewhere, float32 [users, items]."""
        out = np.tile(self._popularity, (len(histories), 1))
        for row, history in zip(out, histories, strict=True):
            if len(history):
                item_scores = self._model.score(0, history.tolist())
                row[:] = np.where(item_scores > _REACHED, item_scores, -np.inf)
        return out


def _sessions(cornac: Any, histories: Sequence[np.ndarray], items: int) -> Any:
    """Return histories as cornac's sessions, with the catalogue's item indices."""
    rows = [
        (user, user, item, place)
        for user, history in enumerate(histories)
        for place, item in enumerate(history.tolist())
    ]
    identity = OrderedDict((item, item) for item in range(items))
    return cornac.data.SequentialDataset.build(rows, fmt="USIT", global_iid_map=identity)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence the warning of transformers about special tokens: this T5 has none."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
