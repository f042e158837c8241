"""A small world of ratings for the tests: users who like one side of one feature, items with three features."""

import numpy as np
from sklearn.metrics import roc_auc_score

from recommender.studies.ratings import Ratings, RatingsSettings
from recommender.studies.ratings.folds import Fold, FoldPart, make_fold, splits
from recommender.studies.ratings.media_features import MediaFeatures
from recommender.studies.ratings.predictions import Prediction

USERS, ITEMS, WIDTH = 60, 50, 4
SMALL = {"folds": 3, "parts": 3, "width": 4, "hidden": 16, "joint": 8, "missing": 0}
SETTINGS = RatingsSettings(**SMALL, epochs=40, patience=12, learning_rate=1e-2, batch=256)


def make_content(seed: int = 0) -> MediaFeatures:
    random = np.random.default_rng(seed)
    names = ("text", "image", "mfcc")
    vectors = {name: random.standard_normal((ITEMS, WIDTH)).astype(np.float32) for name in names}
    return MediaFeatures(vectors, {name: np.ones(ITEMS, bool) for name in names})


def make_ratings(signal: np.ndarray | None = None, each: int = 25, noise: float = 0.5, seed: int = 0) -> Ratings:
    """Return ratings 1 to 5: `signal` [users, items] and noise, cut so that every rating is about as frequent."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), each)
    items = np.concatenate([random.choice(ITEMS, each, replace=False) for _ in range(USERS)])
    signal = np.zeros((USERS, ITEMS)) if signal is None else signal
    scores = signal[users, items] + random.normal(0, noise, len(users))
    classes = np.searchsorted(np.quantile(scores, [0.2, 0.4, 0.6, 0.8]), scores)
    order = np.tile(np.arange(each), USERS).astype(float)
    names = tuple(f"u{user}" for user in range(USERS))
    return Ratings(
        names,
        users,
        items,
        order,
        classes,
        np.arange(1.0, 6.0),
        4.0,
        dict.fromkeys(("unrated", "repeated", "not_sampled"), 0) | {"read": len(users), "kept": len(users)},
    )


def taste(content: MediaFeatures, name: str, seed: int = 1) -> np.ndarray:
    """Return [users, items]: everybody likes one direction or the other of the first component of one feature."""
    sides = np.random.default_rng(seed).choice([-1.0, 1.0], USERS)
    return sides[:, None] * content.vectors[name][:, 0]


def quality(content: MediaFeatures, name: str) -> np.ndarray:
    """Return [users, items]: everybody likes the same direction of one feature."""
    return np.tile(content.vectors[name][:, 0], (USERS, 1))


def fold_of(signal: np.ndarray | None) -> Fold:
    """Return the first fold of ratings by this signal; None: ratings that nothing tells."""
    ratings = make_ratings(signal)
    return make_fold(ratings, next(splits(ratings, SETTINGS)), make_content(), SETTINGS)


def auc(fold: Fold, prediction: Prediction) -> float:
    """Return how well the test rows that are liked are told from the others."""
    return float(roc_auc_score(fold.levels[fold.test.classes] >= fold.likes, prediction.like))


def imbalanced(rows: int = 1500) -> tuple[FoldPart, FoldPart, FoldPart]:
    """Two classes, one in twenty rows rare, half told apart by a single number."""
    random = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        classes = (random.random(rows) < 0.05).astype(np.int64)
        block = (random.standard_normal((rows, 3)) + 1.5 * classes[:, None] * [1, 0, 0]).astype(np.float32)
        parts.append(FoldPart({"text": block}, classes, np.zeros(rows, int), np.zeros(rows, int)))
    return tuple(parts)


def fold_of_parts(parts: tuple[FoldPart, FoldPart, FoldPart]) -> Fold:
    """Return a fold of nothing but these parts, rated 1 or 5."""
    return Fold(*parts, np.zeros(1), None, None, {}, np.array([1.0, 5.0]), 4.0, 0)
