"""TIGER: an encoder-decoder that writes the next item's semantic id, out of the library cornac."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from recommender.errors import DataError
from recommender.eval.baselines.base import FitData
from recommender.eval.baselines.held_out import hold_out
from recommender.eval.baselines.reproducible import reproducible


class Tiger:
    """Generative retrieval over residual k-means codes of the items' text, scored by beam search.

    Rajput et al., "Recommender systems with generative retrieval", NeurIPS 2023, with the tokenizer of Ju et al.,
    "Generative recommendation with semantic IDs: a practitioner's handbook", 2025, as cornac implements both. Items
    outside the beam score -inf: they are not ranked.
    """

    name = "tiger"

    def __init__(self, epochs: int = 4, recent: int = 40, history: int = 10, beam: int = 100, width: int = 64) -> None:
        self.epochs = epochs
        self.recent = recent
        self.history = history
        self.beam = beam
        self.width = width

    def fit(self, data: FitData) -> None:
        """Make the codes and train on the last items of each history. Raises DataError without content or cornac."""
        cornac = _cornac()
        text = data.need_content(self.name).features.vectors["text"]
        train, held = hold_out(data.histories)
        self._items = data.items
        self._popularity = np.bincount(np.concatenate(data.histories), minlength=data.items)
        fitted = _dataset(cornac, [history[-self.recent :] for history in train], data.items)
        fitted.item_feature = cornac.data.FeatureModality(features=text)
        self._model = cornac.models.TIGER(
            tokenizer="rkmeans",
            rqvae_codebook_size=64,
            d_model=self.width,
            d_ff=4 * self.width,
            num_heads=4,
            d_kv=self.width // 4,
            num_enc_layers=2,
            num_dec_layers=2,
            max_len=self.history,
            n_epochs=self.epochs,
            learning_rate=1e-3,
            batch_size=128,
            n_beams=self.beam,
            device="cpu",
            seed=data.seed,
        )
        with reproducible(data.seed):
            self._model.fit(fitted)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return log probabilities of the items in the beam, -inf elsewhere, float32 [users, items]."""
        out = np.empty((len(histories), self._items), dtype=np.float32)
        for row, history in enumerate(histories):
            if not len(history):
                out[row] = self._popularity
                continue
            found = self._model.score(0, history.tolist())
            out[row] = np.where(found > _OUTSIDE, found, -np.inf)
        return out


_OUTSIDE = -1e9  # cornac's mark of what the beam did not reach is -1e10


def _dataset(cornac: Any, histories: Sequence[np.ndarray], items: int) -> Any:
    """Return histories as cornac's sessions; its item indices are those of the catalogue."""
    rows = [
        (user, user, int(item), place)
        for user, history in enumerate(histories)
        for place, item in enumerate(history.tolist())
    ]
    everything = OrderedDict((item, item) for item in range(items))
    return cornac.data.SequentialDataset.build(rows, fmt="USIT", global_iid_map=everything)


def _cornac() -> Any:
    try:
        import cornac
    except ImportError:
        raise DataError("tiger needs the package cornac", "pip install 'recommender[eval]'") from None
    return cornac
