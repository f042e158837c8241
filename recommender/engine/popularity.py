"""How popular each item is to a model: its score for somebody of whom nothing is known; and a ranking without that."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from recommender.config import Modality
from recommender.engine.parts import off_now
from recommender.engine.ranking import ListRanker, Signals
from recommender.errors import RecommenderError

#: items up to which all are scored where ids have several levels: that takes a pass for some hundred of them
MOST_SCORED = 20_000
#: popularities that are kept: with other parts switched off it is another one
KEPT = 8


class Popularity:
    """The popularity of one engine's items, computed when it is first asked for."""

    def __init__(self, ranker: ListRanker) -> None:
        """`ranker`: the engine's."""
        self._ranker = ranker
        self._kept: OrderedDict[tuple[frozenset[Modality], bool], np.ndarray] = OrderedDict()

    def __call__(self, fused: bool = False) -> np.ndarray:
        """Return log p(item | nothing is known), float32 [items], without the modalities that are switched off.

        `fused`: for baselines that rank along, the log-softmax of the fused scores. Raises RecommenderError for a large
        catalogue whose ids have several levels: to score all of it takes minutes.
        """
        setup = self._ranker.setup
        if setup.builder.code_tokens.shape[1] > 1 and self._ranker.items > MOST_SCORED:
            message = f"the popularity of {self._ranker.items:,} items is not known where ids have several levels"
            raise RecommenderError(message, "use one level: semantic_ids.levels 1")
        key = off_now(), fused
        if key not in self._kept:
            scores = self._ranker.score_all([np.zeros(0, np.int64)], [Signals(fused=fused)])[0]
            self._kept[key] = _log_softmax(scores) if fused else scores
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def costs(self, fused: bool = False) -> np.ndarray:
        """Return float32 [items]: the nats that each item loses where popularity is switched off.

        What everybody would be shown counts for nothing, and an item that is rarer than one of equals gains nothing:
        max(log p(item | nothing is known), log 1/items). Raises RecommenderError as `__call__` does.
        """
        uniform = np.float32(-np.log(max(self._ranker.items, 1)))
        return np.maximum(self(fused), uniform)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max()
    return (shifted - np.log(np.exp(shifted).sum())).astype(np.float32)
