"""The power analysis: fits the weight that made a world, and says whether its users suffice to find it."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.encoders.features import Features
from recommender.errors import DataError
from recommender.eval.holdout import Holdout
from recommender.numerics.vectors import unit_rows
from recommender.studies.power import PowerStudy, likeness, power_of

ITEMS = 40


def world(weight: float, users: int, seed: int = 0) -> PowerStudy:
    """Analyse users who choose among equally popular items, the likelier the more they are like the ones before."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(ITEMS, 6)).astype(np.float32)
    units, histories = unit_rows(vectors), []
    for _ in range(users):
        history = [int(random.integers(ITEMS))]
        while len(history) < 4:
            scores = weight * likeness(units, np.array(history))
            scores[history] = -np.inf
            chances = np.exp(scores - scores.max())
            history.append(int(random.choice(ITEMS, p=chances / chances.sum())))
        histories.append(np.array(history))
    holdout = Holdout([h[:-1] for h in histories], np.array([h[-1] for h in histories]), ITEMS)
    features = Features({"audio": vectors}, {"audio": np.ones(ITEMS, bool)})
    return power_of(features, histories, holdout, worlds=40)


def test_a_weight_that_is_there_is_fitted_and_found():
    study = world(1.5, 200)
    (sound,) = study.modalities
    assert (study.users, study.choices) == (200, 800)
    # the fit takes a history without its order, so it sees a little more likeness than there was
    assert 1.0 < sound.low < sound.weight < sound.high < 2.5
    assert sound.fitted.found > 0.95 and sound.fitted.recall > sound.fitted.popular + 0.1
    assert sound.fitted.users < 200 and sound.detectable.weight < sound.weight


def test_without_taste_the_interval_holds_zero_and_nothing_is_found():
    (sound,) = world(0.0, 60).modalities
    assert sound.low < 0 < sound.high
    assert sound.fitted.found < 0.3 and sound.detectable.weight > sound.fitted.weight
    assert sound.detectable.found >= 0.8


def test_more_users_find_smaller_effects():
    few, many = world(0.5, 40), world(0.5, 400)
    assert many.modalities[0].detectable.weight < few.modalities[0].detectable.weight


def test_likeness_is_in_standard_deviations_over_the_items_outside_the_history():
    units = unit_rows(np.random.default_rng(0).normal(size=(9, 4)))
    outside = np.delete(likeness(units, np.array([2, 5])), [2, 5])
    assert outside.mean() == pytest.approx(0, abs=1e-6) and outside.std() == pytest.approx(1, abs=1e-6)


def test_items_without_content_are_one_line():
    with pytest.raises(DataError, match="no item has a text"):
        power_of(Features({}, {}), [], Holdout([], np.array([]), 3))
