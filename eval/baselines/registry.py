"""The baselines by name. What needs a heavy library is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from recommender.eval.baselines.base import Ranker
from recommender.eval.baselines.linear import Ease
from recommender.eval.baselines.neighbours import ItemKNN, Popularity, SequentialItemKNN

BASELINES: dict[str, Callable[[], Ranker]] = {
    "popularity": Popularity,
    "item-knn": ItemKNN,
    "sequential-item-knn": SequentialItemKNN,
    "ease": lambda: Ease("ease", regularisation=100.0),
    "ease-decay": lambda: Ease("ease-decay", regularisation=500.0, decay=8.0),
}
