"""Training of networks: rare classes count, the prior is given back, the best epoch is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, recall_score

from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.fusion_networks import FUSIONS
from recommender.studies.ratings.network_training import BlockModel, fit, predict, train_fusion
from tests.studies.ratings.ratings_world import SETTINGS, fold_of, fold_of_parts, imbalanced


@pytest.fixture(scope="module")
def random() -> Fold:
    """Ratings that nothing tells."""
    return fold_of(None)


def recall_of_the_rare_class(weighted: bool) -> float:
    """Return how many of the rare class are found among unseen rows."""
    fold = fold_of_parts(imbalanced())
    torch.manual_seed(0)
    model = BlockModel(FUSIONS["concatenation"], fold, SETTINGS)
    fit(model, fold, SETTINGS.model_copy(update={"class_weights": weighted}))
    with torch.no_grad():
        classes = model.logits("test", np.arange(len(fold.test)))[-1].argmax(dim=1).numpy()
    return float(recall_score(fold.test.classes, classes))


def test_class_weights_find_the_rare_class():
    assert recall_of_the_rare_class(True) > 0.6 > recall_of_the_rare_class(False) + 0.3


def test_the_prior_is_given_back_to_weighted_probabilities():
    parts = imbalanced()
    fold = fold_of_parts(parts)
    torch.manual_seed(0)
    model = BlockModel(FUSIONS["concatenation"], fold, SETTINGS)
    like = predict(model, fold, fit(model, fold, SETTINGS)).like
    assert like.mean() == pytest.approx(0.05, abs=0.02)
    assert balanced_accuracy_score(parts[2].classes, like > 0.05) > 0.7


def test_training_keeps_the_best_epoch_and_stops_early(random):
    """Nothing can be learnt, so each further epoch is overfitting: more of them must change nothing."""
    ends = []
    for epochs in (40, 400):
        settings = SETTINGS.model_copy(update={"epochs": epochs, "patience": 3, "dropout": 0.0})
        torch.manual_seed(0)
        model = BlockModel(FUSIONS["concatenation"], random, settings)
        ends.append(predict(model, random, fit(model, random, settings)).rating)
    assert np.array_equal(*ends)


def test_l1_makes_weights_small(random):
    sums = []
    for l1 in (0.0, 1e-2):
        settings = SETTINGS.model_copy(update={"l1": l1})
        torch.manual_seed(0)
        model = BlockModel(FUSIONS["concatenation"], random, settings)
        fit(model, random, settings)
        sums.append(sum(float(p.detach().abs().sum()) for p in model.module.parameters() if p.dim() > 1))
    assert sums[1] < sums[0]


def test_only_learned_weights_have_shares(random):
    quick = SETTINGS.model_copy(update={"epochs": 2})
    assert train_fusion("average", random, quick).weights is None
    shares = train_fusion("learned weights", random, quick).weights
    assert list(shares) == list(random.fit.blocks) and sum(shares.values()) == pytest.approx(1, abs=1e-5)


def test_the_seed_of_the_fold_decides_the_network(random):
    quick = SETTINGS.model_copy(update={"epochs": 2})
    first, again = (train_fusion("concatenation", random, quick) for _ in range(2))
    np.testing.assert_array_equal(first.rating, again.rating)
