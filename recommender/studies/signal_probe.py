"""A linear probe: how much of who likes an item can be told from its words, its picture, its sound.

Training can only gain from a modality what that modality knows of taste and nothing else does. The probe asks before
anything is trained: a ridge regression, cross-validated over items, from the frozen encoders' vectors onto the
collaborative ones (Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Told:
    """What some modalities tell of an item's collaborative vector, over items that have them all.

    `explained`: share of the vectors' variance, with a bootstrap interval over items; `nearer`: share of the other items
    that are farther from the prediction than the right one (chance: a half).
    """

    modalities: tuple[Modality, ...]
    explained: float
    low: float
    high: float
    nearer: float


@dataclass(frozen=True)
class Probe:
    """`items`: how many have every modality. `told`: each modality alone, all together, all but each.

    `added`: modality -> what it explains beyond all others, with its paired interval.
    """

    items: int
    told: tuple[Told, ...]
    added: dict[Modality, tuple[float, float, float]]


def signal_study(config: Config, progress: Progress | None = None) -> Probe:
    """Encode a recipe's catalogue, training histories included, and probe it. Raises DataError as `probe` does."""
    return probe(prepare(config, progress).features, config.seed)


def probe(features: Features, seed: int = 0) -> Probe:
    """Compare what the modalities of `features` tell of its collaborative vectors.

    Raises DataError without collaborative vectors, without another modality, or with too few items to cross-validate.
    """
    contents: list[Modality] = [m for m in features.vectors if m != "collaborative"]
    if "collaborative" not in features.vectors or not contents:
        have = ", ".join(features.vectors) or "nothing"
        raise DataError(
            f"a probe needs collaborative vectors and text, image or audio; there is {have}",
            "switch them on under `encoders`",
        )
    has = np.logical_and.reduce([features.present[m] for m in features.vectors])
    if has.sum() < _FOLDS:
        wanted = " and ".join(features.vectors)
        raise DataError(f"{has.sum()} items have {wanted}; a probe needs {_FOLDS}", "give more items")
    tables = {m: unit_rows(features.vectors[m][has]) for m in contents}
    sets = _sets(contents)
    wanted_vectors = unit_rows(features.vectors["collaborative"][has])
    spread = _squares(wanted_vectors - wanted_vectors.mean(0))
    predicted = [_predict(np.hstack([tables[m] for m in some]), wanted_vectors, seed) for some in sets]
    # an item's share, scaled so that their mean is the share of the whole: items are what is resampled
    shares = np.stack([(spread - _squares(wanted_vectors - found)) / spread.mean() for found in predicted], 1)
    bootstrap = Bootstrap(shares[:, :, None], seed)
    means = bootstrap.means()
    told = tuple(
        Told(
            some,
            float(means.mean[i, 0]),
            float(means.low[i, 0]),
            float(means.high[i, 0]),
            _nearer(found, wanted_vectors),
        )
        for i, (some, found) in enumerate(zip(sets, predicted, strict=True))
    )
    return Probe(int(has.sum()), told, _added(bootstrap, sets, contents))


def _sets(contents: Sequence[Modality]) -> list[tuple[Modality, ...]]:
    """Return each modality alone, all of them, and all but each, none twice."""
    less = [tuple(m for m in contents if m != left) for left in contents]
    return list(dict.fromkeys([*((m,) for m in contents), tuple(contents), *filter(None, less)]))


def _added(
    bootstrap: Bootstrap, sets: Sequence[tuple[Modality, ...]], contents: Sequence[Modality]
) -> dict[Modality, tuple[float, float, float]]:
    whole, added = sets.index(tuple(contents)), {}
    for left in contents if len(contents) > 1 else ():
        less = bootstrap.differences(sets.index(tuple(m for m in contents if m != left)))
        low, mean, high = (float(x[whole, 0]) for x in (less.low, less.mean, less.high))
        added[left] = mean, low, high
    return added


def _predict(known: np.ndarray, wanted: np.ndarray, seed: int) -> np.ndarray:
    """Return what a ridge regression, fitted on the other folds, predicts of each item: [items, width]."""
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(RidgeCV(alphas=_ALPHAS), known, wanted, cv=folds))


def _nearer(found: np.ndarray, wanted: np.ndarray) -> float:
    likeness = unit_rows(found) @ wanted.T
    farther = likeness < likeness.diagonal()[:, None]
    return float(farther.sum() / (len(found) * (len(found) - 1)))


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.square(rows).sum(1)
