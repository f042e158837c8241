"""The baselines by name. What needs a heavy library is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from recommender.eval.baselines.base import Ranker
from recommender.eval.baselines.linear import Ease
from recommender.eval.baselines.neighbours import ItemKNN, Popularity, SequentialItemKNN, UserKNN

if TYPE_CHECKING:
    from recommender.eval.baselines.sequential import LossName


def _sequential(name: str, loss: LossName = "softmax", vectors: bool = False) -> Ranker:
    from recommender.eval.baselines.sequential import Sequential

    return Sequential(name, loss, vectors=vectors)


def _two_tower() -> Ranker:
    from recommender.eval.baselines.two_tower import TwoTower

    return TwoTower()


def _tiger() -> Ranker:
    from recommender.eval.baselines.tiger import Tiger

    return Tiger()


def _lazily(module: str, name: str) -> Callable[[], Ranker]:
    """Return what imports a module of this package and makes the baseline that it calls `name`."""

    def make() -> Ranker:
        made: Ranker = getattr(importlib.import_module(f"recommender.eval.baselines.{module}"), name)()
        return made

    return make


BASELINES: dict[str, Callable[[], Ranker]] = {
    "popularity": Popularity,
    "user-knn": UserKNN,
    "item-knn": ItemKNN,
    "sequential-item-knn": SequentialItemKNN,
    "ease": lambda: Ease("ease", regularisation=100.0),
    "ease-decay": lambda: Ease("ease-decay", regularisation=500.0, decay=8.0),
    "svd": _lazily("factorisation", "PureSvd"),
    "als": _lazily("factorisation", "Als"),
    "bpr": _lazily("factorisation", "Bpr"),
    "lightfm": _lazily("lightfm", "LightFm"),
    "tfidf-content": _lazily("content", "TfidfContent"),
    "vector-content": _lazily("content", "VectorContent"),
    "transition-tfidf": _lazily("transitions", "TransitionTfidf"),
    "hybrid": _lazily("hybrid", "Hybrid"),
    "vbpr": _lazily("vbpr", "Vbpr"),
    "lightgcn": _lazily("graph", "LightGcn"),
    "sasrec-bce": lambda: _sequential("sasrec-bce", "binary"),
    "sasrec": lambda: _sequential("sasrec"),
    "sasrec-sampled": lambda: _sequential("sasrec-sampled", "sampled"),
    "gsasrec": lambda: _sequential("gsasrec", "gbce"),
    "sasrec-vectors": lambda: _sequential("sasrec-vectors", vectors=True),
    "two-tower": _two_tower,
    "tiger": _tiger,
}
