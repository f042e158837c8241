"""Ratings predicted from what items say, show and sound like, and from who rated what: six fusions, two classifiers.

Every method is given the same folds and the same features, learns from the training fold only, and returns a rating
and the probability that the user likes the item.
"""

from recommender.studies.ratings.experiment import Result, run
from recommender.studies.ratings.rating_table import Ratings
from recommender.studies.ratings.settings import RatingsSettings

__all__ = ["Ratings", "RatingsSettings", "Result", "run"]
