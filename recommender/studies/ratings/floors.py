"""Floors that every method has to beat: predictions from mean ratings alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression

from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.statistics import Biases, KnownRatings

Floor = Callable[[KnownRatings, np.ndarray, np.ndarray], np.ndarray]
"""Known ratings, and the users and items to predict -> ratings [n]."""


def global_mean(known: KnownRatings, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the mean rating for every pair; as a classifier it is the majority vote."""
    return np.full(len(users), known.values.mean())


def item_mean(known: KnownRatings, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the item's mean, shrunk towards the global mean."""
    biases = Biases.fit(known)
    return biases.mean + biases.items[items]


def user_item_mean(known: KnownRatings, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return global mean, item bias and user bias added up."""
    return Biases.fit(known).predict(users, items)


FLOORS: dict[str, Floor] = {
    "global mean": global_mean,
    "item mean": item_mean,
    "user mean + item mean": user_item_mean,
}


def predict(floor: Floor, fold: Fold) -> Prediction:
    """Predict the test rows; likes by a logistic regression on the validation rows, as floors predict only ratings."""
    validation, test = fold.validation, fold.test
    validation_ratings = floor(fold.known, validation.users, validation.items)
    liked = fold.levels[validation.classes] >= fold.likes
    # the test rows are predicted from the ratings of the validation rows too, as these are known by now
    ratings = floor(fold.all_known, test.users, test.items)
    if np.ptp(validation_ratings) == 0:
        return Prediction(ratings, np.full(len(test), fold.all_known.liked.mean()))
    calibrated = LogisticRegression().fit(validation_ratings[:, None], liked)
    return Prediction(ratings, calibrated.predict_proba(ratings[:, None])[:, 1])
