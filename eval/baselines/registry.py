"""The baselines by name. What needs a heavy library is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from recommender.eval.baselines.base import Ranker
from recommender.eval.baselines.linear import Ease
from recommender.eval.baselines.neighbours import ItemKNN, Popularity, SequentialItemKNN

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


BASELINES: dict[str, Callable[[], Ranker]] = {
    "popularity": Popularity,
    "item-knn": ItemKNN,
    "sequential-item-knn": SequentialItemKNN,
    "ease": lambda: Ease("ease", regularisation=100.0),
    "ease-decay": lambda: Ease("ease-decay", regularisation=500.0, decay=8.0),
    "sasrec-bce": lambda: _sequential("sasrec-bce", "binary"),
    "sasrec": lambda: _sequential("sasrec"),
    "sasrec-sampled": lambda: _sequential("sasrec-sampled", "sampled"),
    "gsasrec": lambda: _sequential("gsasrec", "gbce"),
    "sasrec-vectors": lambda: _sequential("sasrec-vectors", vectors=True),
    "two-tower": _two_tower,
    "tiger": _tiger,
}
