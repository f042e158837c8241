"""The baselines by name. What needs a heavy library is imported when it is asked for."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recommender.baselines.baseline import Baseline
from recommender.baselines.ease import Ease
from recommender.baselines.neighbours import ItemKNN, Popularity, SequentialItemKNN, UserKNN
from recommender.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from recommender.baselines.sasrec import LossName


def _sequential(name: str, loss: LossName = "softmax", vectors: bool = False) -> Baseline:
    from recommender.baselines.sasrec import Sequential

    return Sequential(name, loss, vectors=vectors)


def _two_tower() -> Baseline:
    from recommender.baselines.two_tower import TwoTower

    return TwoTower()


def _tiger() -> Baseline:
    from recommender.baselines.tiger import Tiger

    return Tiger()


def _lazily(module: str, name: str) -> Callable[[], Baseline]:
    """Return what imports a module of this package and makes the baseline that it calls `name`."""

    def make() -> Baseline:
        made: Baseline = getattr(importlib.import_module(f"recommender.baselines.{module}"), name)()
        return made

    return make


BASELINES: dict[str, Callable[[], Baseline]] = {
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
    "lightgcn": _lazily("lightgcn", "LightGcn"),
    "sasrec-bce": lambda: _sequential("sasrec-bce", "binary"),
    "sasrec": lambda: _sequential("sasrec"),
    "sasrec-sampled": lambda: _sequential("sasrec-sampled", "sampled"),
    "gsasrec": lambda: _sequential("gsasrec", "gbce"),
    "sasrec-vectors": lambda: _sequential("sasrec-vectors", vectors=True),
    "two-tower": _two_tower,
    "tiger": _tiger,
}


def is_baseline(text: str) -> bool:
    """Whether this is the name of a baseline, with or without settings."""
    return text.partition(":")[0] in BASELINES


def make_baseline(text: str) -> Baseline:
    """Return the unfitted baseline NAME or NAME:KEY=VALUE:KEY=VALUE, for example sequential-item-knn:window=10:decay=3.

    A setting is one of its numbers, such as a decay; null switches one off that may be absent. Raises DataError for an
    unknown name or setting, naming those that there are.
    """
    name, *settings = text.split(":")
    if name not in BASELINES:
        raise DataError(f"{name!r} is no baseline", did_you_mean(name, BASELINES))
    ranker = BASELINES[name]()
    known = {key: value for key, value in vars(ranker).items() if _is_setting(key, value)}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in known:
            raise DataError(f"{name} has no setting {key!r}", f"one of {', '.join(known) or 'none at all'}")
        setattr(ranker, key, _value(text, setting, value, known[key]))
    return ranker


def _is_setting(key: str, value: Any) -> bool:
    return not key.startswith("_") and (value is None or isinstance(value, int | float))


def _value(text: str, setting: str, value: str, now: Any) -> Any:
    try:
        read = json.loads(value)
    except ValueError:
        read = value
    wanted = (int,) if isinstance(now, int) else (int, float, type(None))
    if not isinstance(read, wanted) or isinstance(read, bool) is not isinstance(now, bool):
        kind = "true or false" if isinstance(now, bool) else "a whole number" if isinstance(now, int) else "a number"
        raise DataError(
            f"{text}: {setting!r} is not {kind}", f"as it is: {setting.partition('=')[0]}={json.dumps(now)}"
        )
    return read
