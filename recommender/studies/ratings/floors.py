"""What any method has to beat: predictions from means alone, without a look at what an item is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression

from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.statistics import Biases, Known

Floor = Callable[[Known, np.ndarray, np.ndarray], np.ndarray]
"""Known ratings, and the users and items that are asked for -> ratings [n]."""


def global_mean(known: Known, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the mean rating for every pair; as a classifier it is the majority's vote."""
    return np.full(len(users), known.values.mean())


def item_mean(known: Known, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the item's mean, shrunk towards the global mean."""
    biases = Biases.fit(known)
    return biases.mean + biases.items[items]


def user_item_mean(known: Known, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return global mean, item bias and user bias added up."""
    return Biases.fit(known).predict(users, items)


FLOORS: dict[str, Floor] = {
    "global mean": global_mean,
    "item mean": item_mean,
    "user mean + item mean": user_item_mean,
}


def predict(floor: Floor, fold: Fold) -> Prediction:
    """Predict the test rows; likes by a logistic regression on the validation rows, as floors predict ratings only."""
    validation, test = fold.validation, fold.test
    asked = floor(fold.known, validation.users, validation.items)
    liked = fold.levels[validation.classes] >= fold.likes
    # the ratings of the validation rows are known by now, so the test rows are predicted from them, too
    ratings = floor(fold.all_known, test.users, test.items)
    if np.ptp(asked) == 0:
        return Prediction(ratings, np.full(len(test), fold.all_known.liked.mean()))
    calibrated = LogisticRegression().fit(asked[:, None], liked)
    return Prediction(ratings, calibrated.predict_proba(ratings[:, None])[:, 1])
