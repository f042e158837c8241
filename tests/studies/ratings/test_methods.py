"""Fusions and classifiers: shapes, weights, what they find and what they must not find."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from recommender.studies.ratings import RatingsSettings
from recommender.studies.ratings.folds import Fold, FoldPart, make_fold, splits
from recommender.studies.ratings.fusion_networks import FUSIONS, Cascade, Gating
from recommender.studies.ratings.graph_network import GraphModel
from recommender.studies.ratings.methods import rating_methods
from recommender.studies.ratings.network_training import BlockModel, fit, predict
from recommender.studies.ratings.predictions import Prediction, class_weights, unweighted
from recommender.studies.ratings.svm import Margins
from tests.studies.ratings.ratings_world import make_content, make_ratings, quality, taste

SMALL = {"folds": 3, "parts": 3, "width": 4, "hidden": 16, "joint": 8, "missing": 0}
SETTINGS = RatingsSettings(**SMALL, epochs=40, patience=12, learning_rate=1e-2, batch=256)
WIDTHS = {"text": 5, "image": 3}
FUSED = [m for m in rating_methods(["text", "image", "mfcc"], SETTINGS) if m.group == "fusion"]


def fold_of(signal: np.ndarray | None) -> Fold:
    ratings = make_ratings(signal)
    return make_fold(ratings, next(splits(ratings, SETTINGS)), make_content(), SETTINGS)


@pytest.fixture(scope="module")
def planted() -> Fold:
    """Tastes that only the sound tells."""
    return fold_of(taste(make_content(), "mfcc"))


@pytest.fixture(scope="module")
def random() -> Fold:
    """Ratings that nothing tells."""
    return fold_of(None)


def auc(fold: Fold, prediction: Prediction) -> float:
    return float(roc_auc_score(fold.levels[fold.test.classes] >= fold.likes, prediction.like))


def blocks(rows: int = 7) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(rows, width, generator=generator) for name, width in WIDTHS.items()}


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_turns_blocks_into_logits(name):
    outputs = FUSIONS[name](WIDTHS, 5, SETTINGS).eval()(blocks())
    assert {tuple(logits.shape) for logits in outputs} == {(7, 5)}
    assert len(outputs) == {"cascade": 2, "parallel": 3}.get(name, 1)


def test_learned_weights_are_shares_that_differ_between_rows():
    weights = Gating(WIDTHS, 5, SETTINGS).eval().weights(blocks())
    assert weights.shape == (7, 2) and torch.allclose(weights.sum(dim=1), torch.ones(7))
    assert weights.std(dim=0).min() > 0


def test_a_later_stage_of_a_cascade_corrects_but_never_teaches_an_earlier_one():
    cascade = Cascade(WIDTHS, 5, SETTINGS).eval()
    first, second = cascade(blocks())
    correction = cascade.stages["image"](torch.cat([blocks()["image"], first], dim=1))
    assert torch.allclose(second, first + correction)
    second.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in cascade.stages["text"].parameters())
    assert any(p.grad.any() for p in cascade.stages["image"].parameters())


@pytest.mark.parametrize("method", FUSED, ids=lambda m: m.label)
def test_every_fusion_finds_the_taste_that_only_one_feature_tells(method, planted):
    prediction = method.predict(planted, SETTINGS)
    assert auc(planted, prediction) > 0.65
    assert prediction.rating.min() >= 1 and prediction.rating.max() <= 5
    assert np.corrcoef(prediction.rating, planted.levels[planted.test.classes])[0, 1] > 0.25


LEAKIEST = ("concatenation, MLP", "graph network, MLP", "cascade, SVM")


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


def imbalanced(rows: int = 1500) -> tuple[FoldPart, FoldPart, FoldPart]:
    """Two classes, one in twenty rows rare, half told apart by a single number."""
    random = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        classes = (random.random(rows) < 0.05).astype(np.int64)
        block = (random.standard_normal((rows, 3)) + 1.5 * classes[:, None] * [1, 0, 0]).astype(np.float32)
        parts.append(FoldPart({"text": block}, classes, np.zeros(rows, int), np.zeros(rows, int)))
    return tuple(parts)


def recalls(weighted: bool) -> tuple[float, float]:
    """Return how many of the rare class an MLP and an SVM find among unseen rows."""
    parts = imbalanced()
    settings = SETTINGS.model_copy(update={"class_weights": weighted})
    fold = Fold(*parts, np.zeros(1), None, None, {}, np.array([1.0, 5.0]), 4.0, 0)
    torch.manual_seed(0)
    model = BlockModel(FUSIONS["concatenation"], fold, settings)
    fit(model, fold, settings)
    with torch.no_grad():
        said = model.logits("test", np.arange(len(parts[2])))[-1].argmax(dim=1).numpy()
    margins = Margins(2, settings, 0).fit(parts[0].blocks["text"], parts[0].classes)(parts[2].blocks["text"])
    truth = parts[2].classes
    return recall_score(truth, said), recall_score(truth, margins[:, 0] > 0)


def test_class_weights_find_the_rare_class():
    for plain, weighted in zip(recalls(False), recalls(True), strict=True):
        assert weighted > 0.6 > plain + 0.3


def test_the_prior_is_given_back_to_weighted_probabilities():
    parts = imbalanced()
    fold = Fold(*parts, np.zeros(1), None, None, {}, np.array([1.0, 5.0]), 4.0, 0)
    torch.manual_seed(0)
    model = BlockModel(FUSIONS["concatenation"], fold, SETTINGS)
    like = predict(model, fold, fit(model, fold, SETTINGS)).like
    assert like.mean() == pytest.approx(0.05, abs=0.02)
    assert balanced_accuracy_score(parts[2].classes, like > 0.05) > 0.7


def test_unweighting_undoes_what_weights_do():
    truth, weights = np.array([[0.7, 0.2, 0.1]]), np.array([0.5, 2.0, 3.0])
    tilted = truth * weights / (truth * weights).sum()
    assert np.allclose(unweighted(tilted, weights), truth)
    assert class_weights(np.array([0, 0, 0, 2]), 3).tolist() == [4 / 6, 0, 2]


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


def test_margins_stand_for_the_steps_of_a_scale():
    random = np.random.default_rng(0)
    rows = random.standard_normal((600, 3))
    target = np.searchsorted([-0.7, 0.0, 0.7], rows[:, 0])
    margins = Margins(5, SETTINGS, 0).fit(rows, target)(rows)
    assert margins.shape == (600, 4) and (margins[:, 3] == -1).all()  # class 4 does not occur
    for step in range(3):
        assert roc_auc_score(target > step, margins[:, step]) > 0.95


def test_the_graph_network_never_sees_the_edge_that_it_predicts(planted):
    model = GraphModel(planted, SETTINGS)
    for part, (to_users, to_items) in enumerate(model.graphs):
        assert to_users._nnz() == to_items._nnz() == 2 * (planted.parts != part).sum()  # by rating and by deviation
        edges = set(zip(*(i.tolist() for i in to_users.indices()), strict=True))
        inside = np.flatnonzero(planted.parts == part)
        pairs = zip(planted.fit.users[inside], planted.fit.items[inside], strict=True)
        assert not any((u, c * 50 + i) in edges for u, i in pairs for c in range(5))
    for rows in model.batches(np.random.default_rng(0), 100):
        assert len(set(planted.parts[rows])) == 1
