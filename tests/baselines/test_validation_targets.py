import numpy as np
import pytest

from recommender.baselines.topk import rank_topk
from recommender.baselines.validation_targets import ValidationTargets, mean_ndcg, split_validation
from recommender.eval import metrics


def test_the_last_item_is_held_out_of_histories_of_two_or_more():
    train, held = split_validation([np.array([4, 2, 7]), np.array([3]), np.array([], dtype=np.int64), np.array([1, 0])])
    assert [history.tolist() for history in train] == [[4, 2], [3], [], [1]]
    assert [history.tolist() for history in held.histories] == [[4, 2], [1]]
    assert held.targets.tolist() == [7, 0]


def test_only_some_users_may_be_held_out():
    histories = [np.array([4, 2, 7]), np.array([3, 1]), np.array([5])]
    train, held = split_validation(histories, np.array([False, True, True]))
    assert [history.tolist() for history in train] == [[4, 2, 7], [3], [5]]
    assert held.targets.tolist() == [1] and [history.tolist() for history in held.histories] == [[3]]


@pytest.mark.parametrize("batch", [3, 512])
def test_ndcg_is_that_of_the_evaluation(batch):
    generator = np.random.default_rng(0)
    histories = [generator.permutation(30)[: generator.integers(1, 12)] for _ in range(20)]
    targets = np.array([generator.choice(np.setdiff1d(np.arange(30), history)) for history in histories])
    table = generator.standard_normal((20, 30)).astype(np.float32)
    by_length = {tuple(history): row for history, row in zip(histories, table, strict=True)}
    found = mean_ndcg(
        lambda some: np.stack([by_length[tuple(one)] for one in some]), ValidationTargets(histories, targets), 10, batch
    )
    assert found == pytest.approx(metrics.ndcg(rank_topk(table, histories, 10), targets, 10).mean())


def test_a_model_that_tells_nothing_apart_gets_nothing():
    held = ValidationTargets([np.array([0])] * 3, np.array([1, 2, 3]))
    assert mean_ndcg(lambda some: np.zeros((len(some), 30), np.float32), held) == 0.0
