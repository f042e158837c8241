"""The baselines by name. A module is imported when its baseline is asked for, as some need torch or larger libraries."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from recommender.baselines.baseline import Baseline
from recommender.errors import DataError, did_you_mean
from recommender.strict.json_documents import parse_json


def lazy(module: str, name: str, *arguments: Any, **settings: Any) -> Callable[[], Baseline]:
    """Return a function that imports a module of this package and makes its class `name` with these arguments."""

    def make() -> Baseline:
        baseline: Baseline = getattr(importlib.import_module(f"{__package__}.{module}"), name)(*arguments, **settings)
        return baseline

    return make


BASELINES: dict[str, Callable[[], Baseline]] = {
    "popularity": lazy("neighbours", "Popularity"),
    "user-knn": lazy("neighbours", "UserKNN"),
    "item-knn": lazy("neighbours", "ItemKNN"),
    "sequential-item-knn": lazy("neighbours", "SequentialItemKNN"),
    "ease": lazy("ease", "Ease", "ease", regularisation=100.0),
    "ease-decay": lazy("ease", "Ease", "ease-decay", regularisation=500.0, decay=8.0),
    "svd": lazy("factorisation", "PureSvd"),
    "als": lazy("factorisation", "Als"),
    "bpr": lazy("factorisation", "Bpr"),
    "lightfm": lazy("lightfm", "LightFm"),
    "tfidf-content": lazy("content", "TfidfContent"),
    "vector-content": lazy("content", "VectorContent"),
    "transition-tfidf": lazy("transitions", "TransitionTfidf"),
    "hybrid": lazy("hybrid", "Hybrid"),
    "vbpr": lazy("vbpr", "Vbpr"),
    "lightgcn": lazy("lightgcn", "LightGcn"),
    "sasrec-bce": lazy("sasrec", "SasRec", "sasrec-bce", "binary"),
    "sasrec": lazy("sasrec", "SasRec", "sasrec"),
    "sasrec-sampled": lazy("sasrec", "SasRec", "sasrec-sampled", "sampled"),
    "gsasrec": lazy("sasrec", "SasRec", "gsasrec", "gbce"),
    "sasrec-vectors": lazy("sasrec", "SasRec", "sasrec-vectors", vectors=True),
    "bsarec": lazy("bsarec", "BsaRec"),
    "bsarec-causal": lazy("bsarec", "CausalBsaRec"),
    "wearec": lazy("wearec", "WeaRec"),
    "two-tower": lazy("two_tower", "TwoTower"),
    "tiger": lazy("tiger", "Tiger"),
}


def is_baseline(text: str) -> bool:
    """Return whether this is the name of a baseline, with or without settings."""
    return text.partition(":")[0] in BASELINES


def make_baseline(text: str) -> Baseline:
    """Return the unfitted baseline NAME or NAME:KEY=VALUE:KEY=VALUE, for example sequential-item-knn:window=10:decay=3.

    A setting is a number of the baseline, such as its decay; null switches off a setting that may be absent. Raises
    DataError for an unknown name or setting, naming those that exist.
    """
    name, *settings = text.split(":")
    if name not in BASELINES:
        raise DataError(f"{name!r} is no baseline", did_you_mean(name, BASELINES))
    baseline = BASELINES[name]()
    defaults = {key: value for key, value in vars(baseline).items() if _is_setting(key, value)}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in defaults:
            raise DataError(f"{name} has no setting {key!r}", f"one of {', '.join(defaults) or 'none at all'}")
        setattr(baseline, key, _read_value(text, setting, value, defaults[key]))
    return baseline


def _is_setting(key: str, value: Any) -> bool:
    return not key.startswith("_") and (value is None or isinstance(value, int | float))


def _read_value(text: str, setting: str, value: str, default: Any) -> Any:
    """Return the value of a setting, which must be of its default's kind. Raises DataError."""
    try:
        parsed = parse_json(value)
    except ValueError:
        parsed = value
    types = (int,) if isinstance(default, int) else (int, float, type(None))
    if not isinstance(parsed, types) or isinstance(parsed, bool) is not isinstance(default, bool):
        kinds = {bool: "true or false", int: "a whole number"}
        kind = kinds.get(type(default), "a number")
        raise DataError(
            f"{text}: {setting!r} is not {kind}", f"as it is: {setting.partition('=')[0]}={json.dumps(default)}"
        )
    return parsed
