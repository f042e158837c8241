import numpy as np
import pytest
import torch

from recommender.baselines import losses
from recommender.baselines.losses import SeenPairs

ITEMS, WIDTH, PLACES = 6, 4, 5


@pytest.fixture
def given():
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(PLACES, WIDTH, generator=generator)
    rows = torch.randn(ITEMS, WIDTH, generator=generator)
    targets, users = torch.tensor([0, 1, 2, 3, 1]), torch.tensor([0, 0, 1, 1, 2])
    return states, rows, targets, users


def drawing(monkeypatch, *drawn):
    """Let the next draws of items be these."""
    waiting = [torch.tensor(one) for one in drawn]
    monkeypatch.setattr(losses.torch, "randint", lambda most, shape: waiting.pop(0))


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


def test_softmax_is_the_log_probability_of_the_target(given):
    states, rows, targets, users = given
    scores = (states @ rows.T).double().numpy()
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = -np.log(chances[np.arange(PLACES), targets.numpy()]).mean()
    assert float(losses.softmax(*given)) == pytest.approx(expected, rel=1e-5)


def test_binary_weighs_the_target_against_one_item(given, monkeypatch):
    states, rows, targets, users = given
    drawing(monkeypatch, [4, 4, 5, 5, 3])
    scores = (states @ rows.T).double().numpy()
    at = np.arange(PLACES)
    expected = -(log_sigmoid(scores[at, targets.numpy()]) + log_sigmoid(-scores[at, [4, 4, 5, 5, 3]])).mean()
    loss = losses.binary(SeenPairs([np.array([0, 1]), np.array([2, 3]), np.array([1])], ITEMS))
    assert float(loss(*given)) == pytest.approx(expected, rel=1e-5)


def test_binary_draws_again_what_the_user_has_seen(given, monkeypatch):
    seen = SeenPairs([np.array([0, 1]), np.array([2, 3]), np.array([1])], ITEMS)
    drawing(monkeypatch, [1, 4, 5, 5, 3], [0], [4])
    twice = float(losses.binary(seen)(*given))
    drawing(monkeypatch, [4, 4, 5, 5, 3])
    assert twice == pytest.approx(float(losses.binary(seen)(*given)), rel=1e-6)


def test_binary_ends_for_a_user_who_has_seen_everything(given):
    loss = losses.binary(SeenPairs([np.arange(ITEMS)] * 3, ITEMS))
    assert torch.isfinite(loss(*given))


def test_seen_knows_pairs():
    seen = SeenPairs([np.array([3, 0, 3]), np.array([], dtype=np.int64), np.array([5])], ITEMS)
    users, items = (grid.ravel() for grid in torch.meshgrid(torch.arange(3), torch.arange(ITEMS), indexing="ij"))
    pairs = torch.stack([users, items], 1)[seen(users, items)]
    assert pairs.tolist() == [[0, 0], [0, 3], [2, 5]]


def test_sampled_softmax_looks_at_what_was_drawn_and_not_at_the_target_twice(given, monkeypatch):
    states, rows, targets, users = given
    drawing(monkeypatch, [1, 4, 4])
    scores = np.exp((states @ rows.T).double().numpy())
    expected = 0.0
    for place, target in enumerate(targets.tolist()):
        others = sum(scores[place, item] for item in (1, 4, 4) if item != target) * (ITEMS - 1) / 3
        expected -= np.log(scores[place, target] / (scores[place, target] + others)) / PLACES
    assert float(losses.sampled_softmax(3)(*given)) == pytest.approx(expected, rel=1e-5)


def test_gbce_raises_the_positive_to_the_power_of_the_paper(given, monkeypatch):
    states, rows, targets, users = given
    drawing(monkeypatch, [4, 5])
    rate, calibration = 2 / (ITEMS - 1), 0.75
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    scores = (states @ rows.T).double().numpy() - np.log(ITEMS)
    at = np.arange(PLACES)
    positive = power * log_sigmoid(scores[at, targets.numpy()])
    expected = -(positive + log_sigmoid(-scores[:, [4, 5]]).sum(1)).mean()
    assert float(losses.generalised_binary(2, calibration)(*given)) == pytest.approx(expected, rel=1e-5)


def test_gbce_without_calibration_is_binary_cross_entropy_from_a_prior(given, monkeypatch):
    states, rows, targets, _ = given
    drawing(monkeypatch, [4])
    logits = states @ rows.T - np.log(ITEMS)
    at, cross = torch.arange(PLACES), torch.nn.functional.binary_cross_entropy_with_logits
    expected = cross(logits[at, targets], torch.ones(PLACES)) + cross(logits[:, 4], torch.zeros(PLACES))
    assert float(losses.generalised_binary(1, 0.0)(*given)) == pytest.approx(float(expected), rel=1e-5)
