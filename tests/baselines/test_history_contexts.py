"""Examples made of places of histories: nothing of a target is in its own context, and losses order what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.baselines import FitData
from recommender.baselines.history_contexts import (
    ItemEmbedding,
    MeanItemModel,
    TrainingPlan,
    context_batches,
    context_means,
    sampled_cross_entropy,
    train_mean_item_model,
    warp_loss,
)

HISTORIES = [np.array([3, 1, 4]), np.array([5]), np.array([], dtype=np.int64), np.array([2, 6, 5, 3])]


def contexts(histories=HISTORIES, decay=2.0, size=3, seed=0):
    """Every example as (target, {item: share})."""
    for batch in context_batches(histories, decay, size, np.random.default_rng(seed)):
        ends = [*batch.starts.tolist()[1:], len(batch.items)]
        for start, end, target in zip(batch.starts.tolist(), ends, batch.targets.tolist(), strict=True):
            items, weights = batch.items[start:end].tolist(), batch.weights[start:end].tolist()
            yield target, dict(zip(items, weights, strict=True))


def test_every_place_with_something_before_it_is_one_example_of_what_came_before():
    found = sorted((target, sorted(shares)) for target, shares in contexts())
    assert found == sorted([(1, [3]), (4, [1, 3]), (6, [2]), (5, [2, 6]), (3, [2, 5, 6])])


def test_shares_fall_with_age_and_sum_to_one():
    shares = next(shares for target, shares in contexts() if target == 3)
    raw = {5: 1.0, 6: np.exp(-1 / 2), 2: np.exp(-1)}
    for item, weight in raw.items():
        assert shares[item] == pytest.approx(weight / sum(raw.values()), rel=1e-5)


def test_what_weighs_next_to_nothing_is_left_out():
    long = [np.arange(100)]
    assert max(len(shares) for _, shares in contexts(long, decay=2.0)) == 12


def test_the_order_of_examples_follows_the_seed():
    first, same, other = (list(contexts(seed=seed)) for seed in (1, 1, 2))
    assert first == same and first != other


def test_the_mean_of_a_context_is_that_of_its_rows():
    table = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    for batch in context_batches(HISTORIES, 2.0, 100, np.random.default_rng(0)):
        means = context_means(batch, table)
        place = batch.targets.tolist().index(1)
        torch.testing.assert_close(means[place], table[3])


def test_warp_is_zero_beyond_the_margin_and_grows_with_the_rank():
    others = torch.tensor([[0.0, 0.5, -torch.inf]])
    assert warp_loss(torch.tensor([2.0]), others) == 0
    one, two = warp_loss(torch.tensor([1.2]), others), warp_loss(torch.tensor([0.2]), others)
    assert one == pytest.approx(np.log(2) * 0.3, rel=1e-5)
    assert two == pytest.approx(np.log(3) * (0.8 + 1.3) / 2, rel=1e-5)


def test_softmax_is_the_cross_entropy_among_the_sampled():
    wanted, others = torch.tensor([1.0]), torch.tensor([[0.0, 2.0, -torch.inf]])
    expected = -1.0 + np.log(np.exp(1.0) + np.exp(0.0) + np.exp(2.0))
    assert sampled_cross_entropy(wanted, others).item() == pytest.approx(expected, rel=1e-5)


def test_a_user_is_scored_by_the_weighted_mean_of_items():
    vectors, biases = np.eye(3, dtype=np.float32), np.array([0.0, 0.1, 0.0], dtype=np.float32)
    scores = MeanItemModel(vectors, biases, decay=1.0).scores([np.array([0, 2]), np.array([], dtype=np.int64)])
    old = np.exp(-1) / (1 + np.exp(-1))
    np.testing.assert_allclose(scores, [[old, 0.1, 1 - old], [0, 0.1, 0]], rtol=1e-5)
    assert scores.dtype == np.float32


def test_progress_is_told_an_epoch_at_a_time():
    class Free(ItemEmbedding):
        def __init__(self):
            super().__init__()
            self.rows = torch.nn.Parameter(torch.zeros(7, 2))

        def forward(self):
            return self.rows, self.rows[:, 0]

    told = []
    data = FitData(HISTORIES, 7, progress=lambda *values: told.append(values))
    train_mean_item_model("free", Free, sampled_cross_entropy, data, 2.0, TrainingPlan(epochs=2, learning_rate=0.1))
    assert told == [("fitting free", 1, 2), ("fitting free", 2, 2)]
