"""The hybrid: the weight goes to the part that knows, and it is found on what was held out."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import FitData, ItemContent
from recommender.baselines.hybrid import Hybrid
from recommender.baselines.topk import rank_topk
from recommender.baselines.transitions import standardised
from recommender.baselines.validation_targets import ValidationTargets, mean_ndcg
from recommender.errors import DataError

ITEMS = 24


def walks():
    """Histories that go around a circle; nothing but their order says what comes next."""
    return [np.roll(np.arange(ITEMS), -start)[: 4 + start % 5] for start in range(ITEMS)] * 2


def families(seed=0, users=60):
    """Histories of items of one family of four in random order, each user another family."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(4)[:3] + 4 * generator.integers(ITEMS // 4) for _ in range(users)]


def fitted(histories, texts):
    ranker = Hybrid()
    ranker.fit(FitData(histories, ITEMS, ItemContent(texts, lambda: pytest.fail("encoded"))))
    return ranker


NOISE = [f"word{item * 7 % 5}" for item in range(ITEMS)]
FAMILY = [f"family{item // 4}" for item in range(ITEMS)]


def test_the_part_that_knows_gets_the_weight():
    collaborative, content, popular = fitted(walks(), NOISE).weights
    assert collaborative > 0.5 and collaborative > content + popular - 1e-6
    # one user a family: neighbours know nothing of the item to come, the words do
    sparse = [np.arange(4 * family, 4 * family + 3) for family in range(ITEMS // 4)]
    collaborative, content, popular = fitted(sparse, FAMILY).weights
    assert content > 0


def test_weights_are_shares():
    weights = fitted(families(), FAMILY).weights
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1)


def test_no_single_part_is_better_on_what_was_held_out():
    histories = families(seed=3, users=80)
    earlier, targets = [history[:-1] for history in histories], np.array([history[-1] for history in histories])
    ranker = fitted(histories, NOISE)
    ranker._fit_parts(FitData(earlier, ITEMS, ItemContent(NOISE, lambda: None)))
    held = ValidationTargets(earlier, targets)
    found = mean_ndcg(ranker.scores, held)
    for part in ranker._parts:
        assert found >= mean_ndcg(lambda asked, part=part: standardised(part.scores(asked)), held) - 1e-6


def test_any_history_is_served_and_fits_can_be_repeated():
    histories = [np.array([5, 6]), np.array([], dtype=np.int64), np.array([23])]
    first, second = (fitted(walks(), NOISE).scores(histories) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, ITEMS) and first.dtype == np.float32 and np.isfinite(first).all()
    assert rank_topk(first[:1], histories[:1], 2)[0].tolist() in ([7, 4], [7, 8])


def test_nobody_with_two_items_leaves_equal_weights():
    assert fitted([np.array([1]), np.array([2])], NOISE).weights.tolist() == pytest.approx([1 / 3] * 3)


def test_without_content_the_baseline_is_named():
    with pytest.raises(DataError, match="needs the items' content"):
        Hybrid().fit(FitData(walks(), ITEMS))
