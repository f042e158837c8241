"""From probabilities of the rating levels to predictions; weights of rare levels, and their correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """The expected rating of each row, in the unit of the scale, and the probability that the user likes the item.

    weights: mean share of each modality over the rows, for a method that learns such weights.
    """

    rating: np.ndarray
    like: np.ndarray
    weights: Mapping[str, float] | None = None

    @classmethod
    def of(cls, probabilities: np.ndarray, levels: np.ndarray, likes: float) -> Prediction:
        """Return the prediction of probabilities [n, levels]: the expected level, and the sum over levels that are likes."""
        return cls(probabilities @ levels, probabilities[:, levels >= likes].sum(axis=1))


def class_weights(classes: np.ndarray, count: int) -> np.ndarray:
    """Return weights [count] that give every class that occurs the same total weight, with mean 1 over the rows."""
    frequencies = np.bincount(classes, minlength=count)
    present = frequencies > 0
    return np.where(present, len(classes) / (np.maximum(frequencies, 1) * present.sum()), 0.0)


def unweighted(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the probabilities [n, classes] that a classifier trained with class weights would give without them.

    Weighting a class multiplies its posterior odds by the weight; dividing by it gives them back (Elkan, "The
    foundations of cost-sensitive learning", 2001). Without it every expected rating would be pulled to the middle.
    """
    corrected = probabilities / np.where(weights > 0, weights, np.inf)
    return corrected / corrected.sum(axis=1, keepdims=True)
