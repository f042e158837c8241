"""Settings of a comparison of rating predictors: wrong ones are all named in one line."""

from __future__ import annotations

import pytest

from recommender.errors import ConfigError
from recommender.studies.ratings.settings import FEATURES, RatingsSettings


def test_values_are_taken_and_the_rest_are_defaults():
    settings = RatingsSettings.parse(folds=3, features=["tfidf"])
    assert (settings.folds, settings.features) == (3, ("tfidf",))
    assert settings.likes == RatingsSettings().likes == 4.0


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        RatingsSettings().folds = 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"folds": 1}, "folds: "),
        ({"features": ["smell"]}, "features.0: "),
        ({"dropout": 1.0}, "dropout: "),
        ({"sample": 5}, "sample: "),
        ({"foldes": 3}, "foldes: "),
        ({"folds": 1, "missing": 2}, "; missing: "),
    ],
)
def test_a_wrong_value_is_named_with_what_features_there_are(values, words):
    with pytest.raises(ConfigError) as caught:
        RatingsSettings.parse(**values)
    assert words in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hint == f"features are {', '.join(FEATURES)}"
