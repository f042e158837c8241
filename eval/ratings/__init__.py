"""Ratings predicted from what items say, show and sound like, and from who rated what: six fusions, two classifiers.

Every method is given the same folds and the same features, learns from the training fold only, and returns a rating
and the probability that the user likes the item.
"""

from recommender.eval.ratings.data import Ratings
from recommender.eval.ratings.experiment import Result, run
from recommender.eval.ratings.settings import RatingsSettings

__all__ = ["Ratings", "RatingsSettings", "Result", "run"]
