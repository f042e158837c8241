"""All methods on one fold: they find what there is, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.studies.ratings.floors import FLOORS
from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.methods import REFERENCE, rating_methods
from recommender.studies.ratings.settings import IMPUTATIONS
from tests.studies.ratings.ratings_world import SETTINGS, auc, fold_of, make_content, quality, taste

FEATURES = ["text", "image", "mfcc"]
FUSED = [m for m in rating_methods(FEATURES, SETTINGS) if m.group == "fusion"]
LEAKIEST = ("concatenation, MLP", "graph network, MLP", "cascade, SVM")


@pytest.fixture(scope="module")
def planted() -> Fold:
    """Tastes that only the sound tells."""
    return fold_of(taste(make_content(), "mfcc"))


@pytest.fixture(scope="module")
def random() -> Fold:
    """Ratings that nothing tells."""
    return fold_of(None)


@pytest.mark.parametrize("method", FUSED, ids=lambda m: m.label)
def test_every_fusion_finds_the_taste_that_only_one_feature_tells(method, planted):
    prediction = method.predict(planted, SETTINGS)
    assert auc(planted, prediction) > 0.65
    assert prediction.rating.min() >= 1 and prediction.rating.max() <= 5
    assert np.corrcoef(prediction.rating, planted.levels[planted.test.classes])[0, 1] > 0.25


@pytest.mark.parametrize("method", [m for m in FUSED if m.label in LEAKIEST], ids=lambda m: m.label)
def test_where_there_is_nothing_to_find_nothing_is_found(method, random):
    """500 test rows: the standard error of the AUC is .026. A row that told its own rating would show here."""
    assert auc(random, method.predict(random, SETTINGS)) == pytest.approx(0.5, abs=0.09)


def test_one_feature_alone_finds_what_is_its_own_and_no_more(planted):
    alone = {m.name: m for m in rating_methods(["text", "image", "mfcc"], SETTINGS) if m.group == "one modality"}
    found = {name: auc(planted, alone[f"{name} alone"].predict(planted, SETTINGS)) for name in ("text", "mfcc")}
    assert found["mfcc"] > 0.7 and found["text"] < 0.6


def test_learned_weights_prefer_the_feature_that_tells():
    fold = fold_of(3 * quality(make_content(), "image"))
    chosen = fold.only(["text", "image", "mfcc"])
    learned = next(m for m in FUSED if m.label == "learned weights, MLP").predict(chosen, SETTINGS).weights
    assert max(learned, key=learned.get) == "image" and sum(learned.values()) == pytest.approx(1)


def test_every_row_of_the_table_has_a_name_of_its_own():
    labels = [method.label for method in rating_methods(FEATURES, SETTINGS)]
    assert len(labels) == len(set(labels))
    assert labels[: len(FLOORS)] == list(FLOORS) and REFERENCE in labels


def test_features_that_no_item_has_are_no_rows():
    labels = [method.label for method in rating_methods(["text"], SETTINGS)]
    assert "text alone, MLP" in labels and "image alone, MLP" not in labels


def test_imputations_are_compared_only_if_features_are_blanked():
    blanked = SETTINGS.model_copy(update={"missing": 0.3})
    methods = [m for m in rating_methods(FEATURES, blanked) if m.group == "imputation"]
    assert {m.imputation for m in methods} == set(IMPUTATIONS) and len(methods) == 2 * len(IMPUTATIONS)
    assert all(m.name.startswith("30% of features missing: ") for m in methods)
    assert all(m.imputation is None for m in rating_methods(FEATURES, SETTINGS))
