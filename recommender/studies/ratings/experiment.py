"""The study: ratings and content in, every method on every fold, a table and all predictions out."""

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
from recommender.studies.ratings.methods import REFERENCE, RatingMethod, rating_methods
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.rating_metrics import METRICS, Measures, measure_predictions
from recommender.studies.ratings.rating_table import Ratings
from recommender.studies.ratings.settings import IMPUTATIONS, Imputation, RatingsSettings


@dataclass(frozen=True)
class RatingResult:
    """The result of a comparison of rating predictors.

    table: one row for each method and metric: group, label, seconds (of the processor, over all folds), metric, value,
        low, high (95 % interval), difference to the floor of user and item means, difference_low and difference_high.
    predictions: method, user, item, rating, fold, predicted (the rating), like (its probability).
    weights: share of each modality in the fusion with learned weights, mean over all test rows.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    weights: Mapping[str, float]
    about: Mapping[str, Any]


@dataclass
class _CrossValidation:
    """What the folds leave: predictions by method, and the fold and base rate of likes of each row."""

    predictions: dict[str, Prediction]
    seconds: dict[str, float]
    fold_of: np.ndarray
    base_rate: np.ndarray
    shares: list[Mapping[str, float]]
    feature_seconds: float = 0.0


def rating_study(
    catalogue: Catalogue,
    interactions: Any,
    config: Config,
    settings: RatingsSettings | None = None,
    progress: Progress | None = None,
) -> RatingResult:
    """Compare all methods on a table of ratings. Raises DataError, AssetError, ConfigError."""
    settings = settings or RatingsSettings(seed=config.seed)
    ratings = Ratings.load(interactions, catalogue, config.data, settings, config.data.minimum_rating)
    begin = time.process_time()
    content = read_content(catalogue, settings.features, config.encoders, settings.width, settings.seed, progress)
    return cross_validate(ratings, content, catalogue.item_ids, settings, time.process_time() - begin, progress)


def cross_validate(
    ratings: Ratings,
    content: MediaFeatures,
    item_ids: Sequence[str],
    settings: RatingsSettings,
    encoding_seconds: float = 0.0,
    progress: Progress | None = None,
) -> RatingResult:
    """Cross-validate every method on the same folds and measure its predictions."""
    methods = rating_methods(list(content.vectors), settings)
    validated = _predict_folds(methods, ratings, content, settings, progress)
    measures = {
        label: measure_predictions(
            prediction,
            ratings.values,
            ratings.liked,
            ratings.users,
            validated.base_rate,
            settings.seed,
            settings.samples,
        )
        for label, prediction in validated.predictions.items()
    }
    return RatingResult(
        _table(methods, measures, validated.seconds),
        _predictions(ratings, validated, item_ids),
        _mean_shares(validated.shares),
        _about(ratings, content, settings, encoding_seconds, validated.feature_seconds),
    )


def _predict_folds(
    methods: Sequence[RatingMethod],
    ratings: Ratings,
    content: MediaFeatures,
    settings: RatingsSettings,
    progress: Progress | None,
) -> _CrossValidation:
    """Predict the test rows of every fold with every method."""
    variants = _variants(content, settings)
    rows, total = len(ratings), settings.folds * len(methods)
    predictions = {m.label: Prediction(np.full(rows, np.nan), np.full(rows, np.nan)) for m in methods}
    validated = _CrossValidation(
        predictions, dict.fromkeys(predictions, 0.0), np.zeros(rows, np.int64), np.zeros(rows), []
    )
    for number, split in enumerate(splits(ratings, settings)):
        begin = time.process_time()
        folds = {name: make_fold(ratings, split, variant, settings) for name, variant in variants.items()}
        validated.feature_seconds += time.process_time() - begin
        validated.fold_of[split.test] = number
        validated.base_rate[split.test] = folds[None].all_known.liked.mean()
        for done, method in enumerate(methods, start=number * len(methods)):
            if progress:
                progress(f"predicting ratings, {method.label}", done, total)
            _predict_fold(method, folds[method.imputation], split.test, settings, validated)
    if progress:
        progress("predicting ratings", total, total)
    return validated


def _predict_fold(
    method: RatingMethod, fold: Fold, rows: np.ndarray, settings: RatingsSettings, validated: _CrossValidation
) -> None:
    """Predict the test rows of one fold; they are `rows` of the whole table."""
    begin = time.process_time()
    with warnings.catch_warnings():
        # that an SVM stops at its last epoch is expected, as for a network
        warnings.simplefilter("ignore", ConvergenceWarning)
        prediction = method.predict(fold, settings)
    validated.seconds[method.label] += time.process_time() - begin
    whole = validated.predictions[method.label]
    whole.rating[rows], whole.like[rows] = prediction.rating, prediction.like
    if prediction.weights:
        validated.shares.append(prediction.weights)


def _variants(content: MediaFeatures, settings: RatingsSettings) -> dict[Imputation | None, MediaFeatures]:
    """Return the content as it is (None), and with a share blanked and filled by each imputation."""
    variants: dict[Imputation | None, MediaFeatures] = {None: content.imputed(settings.imputation, settings.neighbours)}
    if settings.missing:
        blanked = content.blanked(settings.missing, settings.seed)
        variants |= {imputation: blanked.imputed(imputation, settings.neighbours) for imputation in IMPUTATIONS}
    return variants


def _mean_shares(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([fold[name] for fold in shares])) for name in (shares[0] if shares else ())}


def _table(
    methods: Sequence[RatingMethod], measures: Mapping[str, Measures], seconds: Mapping[str, float]
) -> pd.DataFrame:
    """Return one row for each method and metric."""
    rows = []
    for method in methods:
        measured = measures[method.label]
        for metric in METRICS:
            low, high = measured.interval(metric)
            difference = measured.difference(measures[REFERENCE], metric)
            differences = dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True))
            about = {"group": method.group, "label": method.label, "seconds": seconds[method.label]}
            value = {"metric": metric, "value": measured.values[metric], "low": low, "high": high}
            rows.append(about | value | differences)
    return pd.DataFrame(rows)


def _predictions(ratings: Ratings, validated: _CrossValidation, item_ids: Sequence[str]) -> pd.DataFrame:
    common = {
        "user": np.array(ratings.user_ids)[ratings.users],
        "item": np.array(item_ids)[ratings.items],
        "rating": ratings.values,
        "fold": validated.fold_of.astype(np.int32),
    }
    frames = [
        pd.DataFrame({"method": label, **common, "predicted": prediction.rating, "like": prediction.like})
        for label, prediction in validated.predictions.items()
    ]
    return pd.concat(frames, ignore_index=True).astype({"method": "category"})


def _about(
    ratings: Ratings, content: MediaFeatures, settings: RatingsSettings, encoding: float, features: float
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
        "seconds": {"encoding": encoding, "features": features},
        "settings": settings.model_dump(mode="json"),
    }
