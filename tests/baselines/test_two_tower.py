"""Two towers: the next item is learnt from pooled histories, recent items weighing more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.baselines import FitData
from recommender.baselines.next_item import TrainingSchedule
from recommender.baselines.two_tower import Towers, TwoTower
from recommender.errors import DataError
from tests.baselines.worlds import CIRCLE_ITEMS, QUICK_SCHEDULE, NextItemBehaviour, circle


class TestTwoTower(NextItemBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> TwoTower:
        return TwoTower(width=16, hidden=32, decays=(0.5, 4.0), dropout=0.0, schedule=schedule)


@pytest.fixture
def towers() -> Towers:
    torch.manual_seed(0)
    return Towers(torch.randn(CIRCLE_ITEMS, 8), 16, 32, (2.0, 8.0), 0.0).eval()


def test_a_state_does_not_see_what_comes_later(towers):
    inputs, changed_later = torch.tensor([[-1, 3, 5, 7, 1]]), torch.tensor([[-1, 3, 5, 2, 9]])
    states, other = (towers(given, towers.rows()) for given in (inputs, changed_later))
    torch.testing.assert_close(states[:, :3], other[:, :3])
    assert not torch.allclose(states[:, 3:], other[:, 3:], atol=1e-3)


def test_users_have_length_one_and_items_the_learnt_scale(towers):
    rows = towers.rows()
    states = towers(torch.tensor([[-1, 3, 5]]), rows)
    torch.testing.assert_close(states.norm(dim=-1), torch.ones(1, 3))
    torch.testing.assert_close(rows.norm(dim=1), torch.full((CIRCLE_ITEMS,), 10.0))


def test_histories_are_pooled_by_recency():
    weights = Towers._weights(3, torch.tensor(2.0))
    older = np.exp(-np.arange(3) / 2.0)
    np.testing.assert_allclose(weights[2].numpy(), older[::-1] / older.sum(), rtol=1e-5)
    np.testing.assert_allclose(weights[0].numpy(), [1, 0, 0], atol=1e-7)


def test_content_that_is_missing_is_named():
    with pytest.raises(DataError, match="two-tower needs the items' content"):
        TestTwoTower.make().fit(FitData(circle(), CIRCLE_ITEMS))
