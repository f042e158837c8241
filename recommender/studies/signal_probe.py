"""A linear probe: how much of an item's collaborative vector its text, image and audio vectors predict.

A modality can only improve a recommender by what it alone knows of users' taste. The probe measures that before any
training: a ridge regression, cross-validated over items, from the frozen encoders' vectors onto the collaborative ones
(Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from recommender.config import Config, Modality
from recommender.encoders.features import Features
from recommender.errors import DataError
from recommender.eval.bootstrap import Bootstrap
from recommender.numerics.vectors import unit_rows
from recommender.pipelines.train import prepare
from recommender.progress import Progress

_ALPHAS = 10.0 ** np.arange(-2, 5)
_FOLDS = 10
_COLLABORATIVE: Modality = "collaborative"


@dataclass(frozen=True)
class ProbeResult:
    """How well a set of modalities predicts the collaborative vectors of items that have them all.

    explained: share of the vectors' variance, with the bootstrap interval low to high over items.
    nearer: share of the other items' vectors that are farther from the prediction than the right one (chance: a half).
    """

    modalities: tuple[Modality, ...]
    explained: float
    low: float
    high: float
    nearer: float


@dataclass(frozen=True)
class SignalProbe:
    """items: how many have every modality. results: of each modality alone, of all together, of all but each.

    added: modality -> the variance it explains beyond all others, and its paired interval.
    """

    items: int
    results: tuple[ProbeResult, ...]
    added: dict[Modality, tuple[float, float, float]]


def signal_study(config: Config, progress: Progress | None = None) -> SignalProbe:
    """Encode a recipe's catalogue and its training histories, and probe the vectors. Raises DataError as `probe` does."""
    return probe(prepare(config, progress).features, config.seed)


def probe(features: Features, seed: int = 0) -> SignalProbe:
    """Compare how well the modalities of `features`, alone and together, predict its collaborative vectors.

    Raises DataError without collaborative vectors, without another modality, or with too few items to cross-validate.
    """
    modalities: list[Modality] = [m for m in features.vectors if m != _COLLABORATIVE]
    has_all = _items_with_all(features, modalities)
    tables = {m: unit_rows(features.vectors[m][has_all]) for m in modalities}
    target = unit_rows(features.vectors[_COLLABORATIVE][has_all])
    sets = _modality_sets(modalities)
    predictions = [_predict(np.hstack([tables[m] for m in some]), target, seed) for some in sets]
    variance = _squared_lengths(target - target.mean(0))
    # an item's share of the explained variance, scaled so that the mean over items is the whole share
    shares = [(variance - _squared_lengths(target - predicted)) / variance.mean() for predicted in predictions]
    bootstrap = Bootstrap(np.stack(shares, 1)[:, :, None], seed)
    estimates = bootstrap.means()
    means = [column[:, 0].tolist() for column in (estimates.mean, estimates.low, estimates.high)]
    nearer = [_nearer_share(predicted, target) for predicted in predictions]
    results = tuple(starmap(ProbeResult, zip(sets, *means, nearer, strict=True)))
    return SignalProbe(int(has_all.sum()), results, _added(bootstrap, sets, modalities))


def _items_with_all(features: Features, modalities: Sequence[Modality]) -> np.ndarray:
    """Return bool [items], true where an item has every modality. Raises DataError if there is nothing to probe."""
    if _COLLABORATIVE not in features.vectors or not modalities:
        have = ", ".join(features.vectors) or "nothing"
        raise DataError(
            f"a probe needs collaborative vectors and text, image or audio; there is {have}",
            "switch them on under `encoders`",
        )
    has_all = np.logical_and.reduce([features.present[m] for m in features.vectors])
    if has_all.sum() < _FOLDS:
        needed = " and ".join(features.vectors)
        raise DataError(f"{has_all.sum()} items have {needed}; a probe needs {_FOLDS}", "give more items")
    return np.asarray(has_all)


def _modality_sets(modalities: Sequence[Modality]) -> list[tuple[Modality, ...]]:
    """Return each modality alone, all of them, and all but each, without repeats."""
    all_but_one = [tuple(m for m in modalities if m != left_out) for left_out in modalities]
    return list(dict.fromkeys([*((m,) for m in modalities), tuple(modalities), *filter(None, all_but_one)]))


def _added(
    bootstrap: Bootstrap, sets: Sequence[tuple[Modality, ...]], modalities: Sequence[Modality]
) -> dict[Modality, tuple[float, float, float]]:
    all_of_them, added = sets.index(tuple(modalities)), {}
    for left_out in modalities if len(modalities) > 1 else ():
        difference = bootstrap.differences(sets.index(tuple(m for m in modalities if m != left_out)))
        mean, low, high = (float(x[all_of_them, 0]) for x in (difference.mean, difference.low, difference.high))
        added[left_out] = mean, low, high
    return added


def _predict(inputs: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    """Return predictions [items, width] for each item by a ridge regression that was fitted on the other folds."""
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(RidgeCV(alphas=_ALPHAS), inputs, target, cv=folds))


def _nearer_share(predicted: np.ndarray, target: np.ndarray) -> float:
    cosines = unit_rows(predicted) @ target.T
    farther = cosines < cosines.diagonal()[:, None]
    return float(farther.sum() / (len(predicted) * (len(predicted) - 1)))


def _squared_lengths(rows: np.ndarray) -> np.ndarray:
    return np.square(rows).sum(1)
