"""From probabilities of the ratings to what is predicted, and the weights of rare ratings with their correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """For each row the expected rating, in the unit of the scale, and the probability that the user likes the item.

    weights: share of each modality, mean over the rows, of a method that learns such weights.
    """

    rating: np.ndarray
    like: np.ndarray
    weights: Mapping[str, float] | None = None

    @classmethod
    def of(cls, probabilities: np.ndarray, levels: np.ndarray, likes: float) -> Prediction:
        """Return what probabilities [n, levels] mean: their expected value, and the sum of those that are likes."""
        return cls(probabilities @ levels, probabilities[:, levels >= likes].sum(axis=1))


def class_weights(classes: np.ndarray, count: int) -> np.ndarray:
    """Return weights [count] with which every class that occurs weighs the same, of mean 1 over the rows."""
    frequent = np.bincount(classes, minlength=count)
    present = frequent > 0
    return np.where(present, len(classes) / (np.maximum(frequent, 1) * present.sum()), 0.0)


def unweighted(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the probabilities [n, classes] that a classifier trained with weights would have given without them.

    Weighting a class multiplies its posterior odds by the weight; dividing by it gives them back (Elkan, "The
    foundations of cost-sensitive learning", 2001). Without it every expected rating would be pulled to the middle.
    """
    corrected = probabilities / np.where(weights > 0, weights, np.inf)
    return corrected / corrected.sum(axis=1, keepdims=True)
