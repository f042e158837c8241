"""A study of rating prediction from the items' text, images and sound and from other ratings: six fusions, two classifiers.

Every method gets the same folds and features, learns from the training fold only, and predicts a rating and the
probability that the user likes the item. experiment.py runs them all, methods.py lists them.
"""

from recommender.studies.ratings.experiment import RatingResult, rating_study
from recommender.studies.ratings.rating_table import Ratings
from recommender.studies.ratings.settings import RatingsSettings

__all__ = ["RatingResult", "Ratings", "RatingsSettings", "rating_study"]
