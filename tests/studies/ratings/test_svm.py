"""Support vector machines: steps of a scale, rare classes, kernels that agree, calibrated probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from recommender.studies.ratings import svm
from recommender.studies.ratings.svm import JOINS, Margins, classify
from tests.studies.ratings.ratings_world import SETTINGS, fold_of, imbalanced, make_content, taste


def test_margins_stand_for_the_steps_of_a_scale():
    random = np.random.default_rng(0)
    rows = random.standard_normal((600, 3))
    target = np.searchsorted([-0.7, 0.0, 0.7], rows[:, 0])
    margins = Margins(5, SETTINGS, 0).fit(rows, target)(rows)
    assert margins.shape == (600, 4) and (margins[:, 3] == -1).all()  # class 4 does not occur
    for step in range(3):
        assert roc_auc_score(target > step, margins[:, step]) > 0.95


def test_a_step_of_which_only_one_side_was_seen_has_a_constant_margin():
    rows, target = np.random.default_rng(0).standard_normal((50, 2)), np.full(50, 2)
    margins = Margins(5, SETTINGS, 0).fit(rows, target)(rows)
    assert (margins == [1.0, 1.0, -1.0, -1.0]).all()


def test_class_weights_find_the_rare_class():
    fit, _, test = imbalanced()
    recalls = []
    for weighted in (False, True):
        settings = SETTINGS.model_copy(update={"class_weights": weighted})
        margins = Margins(2, settings, 0).fit(fit.blocks["text"], fit.classes)(test.blocks["text"])
        recalls.append(recall_score(test.classes, margins[:, 0] > 0))
    assert recalls[1] > 0.6 > recalls[0] + 0.3


@pytest.mark.filterwarnings("ignore:Maximum number of iteration")
@pytest.mark.parametrize("name", JOINS)
def test_probabilities_sum_to_one(name):
    fold = fold_of(taste(make_content(), "image"))
    probabilities = JOINS[name](fold, SETTINGS.model_copy(update={"epochs": 3}))
    assert probabilities.shape == (len(fold.test), 5) and (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_a_prediction_is_the_expected_level_and_the_chance_of_a_like():
    fold = fold_of(taste(make_content(), "image"))
    prediction = classify("concatenation", fold, SETTINGS)
    probabilities = JOINS["concatenation"](fold, SETTINGS)
    np.testing.assert_allclose(prediction.rating, probabilities @ fold.levels)
    np.testing.assert_allclose(prediction.like, probabilities[:, fold.levels >= fold.likes].sum(axis=1))


def test_the_alignment_is_one_for_the_classes_themselves_and_small_for_noise():
    classes = np.random.default_rng(0).integers(0, 3, 400)
    assert svm._alignment(np.eye(3)[classes], classes) == pytest.approx(1)
    assert svm._alignment(np.random.default_rng(1).standard_normal((400, 3)), classes) < 0.1
    assert svm._alignment(np.zeros((400, 3)), classes) == 0


def test_steps_are_told_apart_without_class_weights_too():
    rows = np.random.default_rng(0).standard_normal((600, 3))
    target = (rows[:, 0] > 0).astype(np.int64)
    settings = SETTINGS.model_copy(update={"class_weights": False})
    assert roc_auc_score(target, Margins(2, settings, 0).fit(rows, target)(rows)[:, 0]) > 0.95
