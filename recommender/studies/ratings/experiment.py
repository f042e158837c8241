"""The whole comparison: ratings and content in, every method on every fold, a table and every prediction out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.progress import Progress
from recommender.studies.ratings.folds import Fold, make_fold, splits
from recommender.studies.ratings.media_features import MediaFeatures, read_content
from recommender.studies.ratings.methods import REFERENCE, Method, methods
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.rating_metrics import METRICS, Measured, measure
from recommender.studies.ratings.rating_table import Ratings
from recommender.studies.ratings.settings import IMPUTATIONS, Imputation, RatingsSettings


@dataclass(frozen=True)
class Result:
    """What a comparison found.

    table: one row a method and metric: group, label, seconds (of the processor, over all folds), metric, value, low,
        high (95 % interval), difference to the floor of user and item means, difference_low and difference_high.
    predictions: method, user, item, rating, fold, predicted (the rating), like (its probability).
    weights: share of each modality in the fusion with learned weights, mean over all test rows.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    weights: Mapping[str, float]
    about: Mapping[str, Any]


def run(
    catalogue: Catalogue,
    interactions: Any,
    config: Config,
    settings: RatingsSettings | None = None,
    progress: Progress | None = None,
) -> Result:
    """Compare all methods on a table of ratings. Raises DataError, AssetError, ConfigError."""
    settings = settings or RatingsSettings(seed=config.seed)
    ratings = Ratings.load(interactions, catalogue, config.data.columns, settings, config.data.minimum_rating)
    begin = time.process_time()
    content = read_content(catalogue, settings.features, config.encoders, settings.width, settings.seed, progress)
    return compare(ratings, content, catalogue.item_ids, settings, time.process_time() - begin, progress)


def compare(
    ratings: Ratings,
    content: MediaFeatures,
    item_ids: Sequence[str],
    settings: RatingsSettings,
    encoding_seconds: float = 0.0,
    progress: Progress | None = None,
) -> Result:
    """Cross-validate every method on the same folds and measure it."""
    todo = methods(list(content.vectors), settings)
    variants = _variants(content, settings)
    found = {method.label: _empty(len(ratings)) for method in todo}
    seconds = dict.fromkeys(found, 0.0)
    fold_of, base_rate = np.zeros(len(ratings), np.int64), np.zeros(len(ratings))
    shares: list[Mapping[str, float]] = []
    featuring = 0.0
    for number, split in enumerate(splits(ratings, settings)):
        begin = time.process_time()
        folds = {name: make_fold(ratings, split, variant, settings) for name, variant in variants.items()}
        featuring += time.process_time() - begin
        fold_of[split.test] = number
        base_rate[split.test] = folds[None].all_known.liked.mean()
        for done, method in enumerate(todo, start=number * len(todo)):
            if progress:
                progress(f"predicting ratings, {method.label}", done, settings.folds * len(todo))
            begin = time.process_time()
            predicted = _quietly(method, folds[method.imputation], settings)
            seconds[method.label] += time.process_time() - begin
            _put(found[method.label], split.test, predicted)
            shares += [predicted.weights] if predicted.weights else []
    if progress:
        progress("predicting ratings", settings.folds * len(todo), settings.folds * len(todo))
    measured = {
        label: measure(
            prediction, ratings.values, ratings.liked, ratings.users, base_rate, settings.seed, settings.samples
        )
        for label, prediction in found.items()
    }
    return Result(
        _table(todo, measured, seconds),
        _predictions(ratings, found, fold_of, item_ids),
        _mean_shares(shares),
        _about(ratings, content, settings, encoding_seconds, featuring),
    )


def _variants(content: MediaFeatures, settings: RatingsSettings) -> dict[Imputation | None, MediaFeatures]:
    """Return the content as it is (None), and what each imputation makes of it with a share blanked."""
    found: dict[Imputation | None, MediaFeatures] = {None: content.imputed(settings.imputation, settings.neighbours)}
    if settings.missing:
        blanked = content.blanked(settings.missing, settings.seed)
        found |= {how: blanked.imputed(how, settings.neighbours) for how in IMPUTATIONS}
    return found


def _quietly(method: Method, fold: Fold, settings: RatingsSettings) -> Prediction:
    """Predict; that an SVM stops at its last epoch is expected, as for a network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return method.predict(fold, settings)


def _mean_shares(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in shares])) for name in (shares[0] if shares else ())}


def _empty(count: int) -> Prediction:
    return Prediction(np.full(count, np.nan), np.full(count, np.nan))


def _put(whole: Prediction, rows: np.ndarray, part: Prediction) -> None:
    whole.rating[rows], whole.like[rows] = part.rating, part.like


def _table(todo: Sequence[Method], measured: Mapping[str, Measured], seconds: Mapping[str, float]) -> pd.DataFrame:
    """Return one row a method and metric."""
    rows = []
    for method in todo:
        one = measured[method.label]
        for metric in METRICS:
            low, high = one.interval(metric)
            difference = one.difference(measured[REFERENCE], metric)
            named = dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True))
            about = {"group": method.group, "label": method.label, "seconds": seconds[method.label]}
            rows.append(about | {"metric": metric, "value": one.values[metric], "low": low, "high": high} | named)
    return pd.DataFrame(rows)


def _predictions(
    ratings: Ratings, found: Mapping[str, Prediction], fold_of: np.ndarray, item_ids: Sequence[str]
) -> pd.DataFrame:
    common = {
        "user": np.array(ratings.user_ids)[ratings.users],
        "item": np.array(item_ids)[ratings.items],
        "rating": ratings.values,
        "fold": fold_of.astype(np.int32),
    }
    frames = [
        pd.DataFrame({"method": label, **common, "predicted": one.rating, "like": one.like})
        for label, one in found.items()
    ]
    return pd.concat(frames, ignore_index=True).astype({"method": "category"})


def _about(
    ratings: Ratings, content: MediaFeatures, settings: RatingsSettings, encoding: float, featuring: float
) -> dict[str, Any]:
    levels = {f"{level:g}": int(n) for level, n in zip(ratings.levels, np.bincount(ratings.classes), strict=True)}
    return {
        "reference": REFERENCE,
        "ratings": dict(ratings.counts),
        "users": len(ratings.user_ids),
        "items": len(np.unique(ratings.items)),
        "levels": levels,
        "liked": float(ratings.liked.mean()),
        "present": {name: int(has.sum()) for name, has in content.present.items()},
        "seconds": {"encoding": encoding, "features": featuring},
        "settings": settings.model_dump(mode="json"),
    }
