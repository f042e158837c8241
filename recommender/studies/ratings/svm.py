"""Support vector machines over the same blocks and the same six fusions, in forms that suit a linear model.

A scale is learnt step by step (Frank and Hall, "A simple approach to ordinal classification", 2001): one linear SVM for
each step separates ratings above it from those up to it. A plane can do that, but cannot separate the middle of a scale
from both ends. Stochastic gradient descent on the hinge loss, class weights, L1 and L2 (elastic net), early stopping. A
logistic regression on the validation rows turns margins into probabilities (Platt, 1999); it uses no class weights, so
nothing has to be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier

from recommender.encoders.reduction import Reduction
from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.graph_network import graph_network
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.settings import RatingsSettings

SIDES = ("fit", "validation", "test")
Tables = dict[str, np.ndarray]
"""A matrix for each side: fit, validation, test."""
Join = Callable[[Fold, RatingsSettings], np.ndarray]
"""A fold -> probabilities [test rows, classes]."""


class Margins:
    """A linear SVM for each step of the scale: rows [n, width] -> margins [n, classes - 1] of being rated above it."""

    def __init__(self, classes: int, settings: RatingsSettings, seed: int) -> None:
        self.steps = classes - 1
        self.settings = settings
        self.seed = seed

    def fit(self, rows: np.ndarray, target: np.ndarray) -> Margins:
        """Learn from rows [n, width] and their classes [n]."""
        self.machines = [self._machine(rows, target > step) for step in range(self.steps)]
        return self

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the margins; at a step with training rows on one side only, the constant margin of that side."""
        return np.stack(
            [np.full(len(rows), m) if isinstance(m, float) else m.decision_function(rows) for m in self.machines],
            axis=1,
        )

    def _machine(self, rows: np.ndarray, above: np.ndarray) -> SGDClassifier | float:
        smaller_side = min(above.sum(), (~above).sum())
        if smaller_side == 0:
            return 1.0 if above.any() else -1.0
        return SGDClassifier(
            loss="hinge",
            penalty="elasticnet",
            alpha=self.settings.svm_alpha,
            l1_ratio=self.settings.svm_l1_ratio,
            class_weight="balanced" if self.settings.class_weights else None,
            early_stopping=bool(smaller_side > 1),  # its inner split is stratified and needs two rows on either side
            n_iter_no_change=self.settings.patience,
            max_iter=self.settings.epochs,
            random_state=self.seed,
        ).fit(rows, above)


def concatenation(fold: Fold, settings: RatingsSettings) -> np.ndarray:
    """(a) All blocks side by side."""
    return _classified(fold, settings, _stacked(_blocks(fold)))


def average(fold: Fold, settings: RatingsSettings) -> np.ndarray:
    """(b) The mean of all blocks, each reduced to its principal components of one width."""
    reduced = _reduced(fold, settings)
    return _classified(fold, settings, {side: np.mean([t[side] for t in reduced.values()], axis=0) for side in SIDES})


def learned_weights(fold: Fold, settings: RatingsSettings) -> np.ndarray:
    """(c) All blocks side by side, each scaled by the alignment of its kernel with that of the classes.

    Cortes, Mohri and Rostamizadeh, "Algorithms for learning kernels based on centered alignment", 2012: a sum of
    linear kernels with these weights is the kernel of blocks scaled by their roots.
    """
    reduced = _reduced(fold, settings)
    weights = {name: _alignment(tables["fit"], fold.fit.classes) for name, tables in reduced.items()}
    norm = max(sum(weights.values()), 1e-12) / len(weights)
    scaled = {
        name: {side: np.sqrt(weights[name] / norm) * table for side, table in tables.items()}
        for name, tables in reduced.items()
    }
    return _classified(fold, settings, _stacked(scaled))


def cascade(fold: Fold, settings: RatingsSettings) -> np.ndarray:
    """(d) One modality after another; each sees its block and the margins of the one before it.

    The margins of training rows come from machines that have not seen them, part by part.
    """
    margins_before = {side: np.zeros((len(getattr(fold, side)), 0)) for side in SIDES}
    for tables in _blocks(fold).values():
        rows = {side: np.hstack([tables[side], margins_before[side]]) for side in SIDES}
        margins = _margins(fold, settings, rows)
        margins_before = margins | {"fit": _crossed(fold, settings, rows["fit"])}
    return _calibrated(fold, margins)


def parallel(fold: Fold, settings: RatingsSettings) -> np.ndarray:
    """(e) The mean of the probabilities of one machine for each modality."""
    return np.mean([_classified(fold, settings, tables) for tables in _blocks(fold).values()], axis=0)


def graph(fold: Fold, settings: RatingsSettings) -> np.ndarray:
    """(f) The representations of the pairs by the trained graph network."""
    _, model = graph_network(fold, settings)
    return _classified(fold, settings, {side: model.described(side) for side in SIDES})


JOINS: dict[str, Join] = {
    "concatenation": concatenation,
    "average": average,
    "learned weights": learned_weights,
    "cascade": cascade,
    "parallel": parallel,
    "graph network": graph,
}


def classify(name: str, fold: Fold, settings: RatingsSettings) -> Prediction:
    """Fuse, fit and predict the test rows of a fold."""
    return Prediction.of(JOINS[name](fold, settings), fold.levels, fold.likes)


def _blocks(fold: Fold) -> dict[str, Tables]:
    return {name: {side: getattr(fold, side).blocks[name] for side in SIDES} for name in fold.fit.blocks}


def _stacked(tables: Mapping[str, Tables]) -> Tables:
    return {side: np.hstack([table[side] for table in tables.values()]) for side in SIDES}


def _reduced(fold: Fold, settings: RatingsSettings) -> dict[str, Tables]:
    """Reduce every block to one width: principal components of mean unit variance; narrower blocks end in zeros."""
    reduced = {}
    for name, tables in _blocks(fold).items():
        reduction = Reduction.fit(tables["fit"], settings.joint)
        reduced[name] = {side: reduction.apply(table) for side, table in tables.items()}
    return reduced


def _alignment(rows: np.ndarray, classes: np.ndarray) -> float:
    """Return the centred alignment of the linear kernels of rows [n, width] and of one-hot classes, 0 to 1."""
    one_hot = np.eye(classes.max() + 1)[classes]
    left, right = rows - rows.mean(axis=0), one_hot - one_hot.mean(axis=0)
    product = float(((left.T @ right) ** 2).sum())
    norms = float(np.linalg.norm(left.T @ left) * np.linalg.norm(right.T @ right))
    return product / norms if norms > 0 else 0.0


def _machine(fold: Fold, settings: RatingsSettings) -> Margins:
    return Margins(len(fold.levels), settings, fold.seed)


def _margins(fold: Fold, settings: RatingsSettings, rows: Tables) -> Tables:
    machine = _machine(fold, settings).fit(rows["fit"], fold.fit.classes)
    return {side: machine(rows[side]) for side in ("validation", "test")}


def _crossed(fold: Fold, settings: RatingsSettings, rows: np.ndarray) -> np.ndarray:
    """Return the margins of the training rows, each part's by a machine fitted on the other parts."""
    margins = np.zeros((len(rows), len(fold.levels) - 1))
    for part in range(fold.parts.max() + 1):
        of_part = fold.parts == part
        machine = _machine(fold, settings).fit(rows[~of_part], fold.fit.classes[~of_part])
        margins[of_part] = machine(rows[of_part])
    return margins


def _classified(fold: Fold, settings: RatingsSettings, rows: Tables) -> np.ndarray:
    return _calibrated(fold, _margins(fold, settings, rows))


def _calibrated(fold: Fold, margins: Tables) -> np.ndarray:
    """Return probabilities [test rows, classes]; 0 for a class that no validation row has."""
    platt = LogisticRegression(max_iter=500).fit(margins["validation"], fold.validation.classes)
    probabilities = np.zeros((len(margins["test"]), len(fold.levels)))
    probabilities[:, platt.classes_] = platt.predict_proba(margins["test"])
    return probabilities
