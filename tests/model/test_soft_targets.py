"""Soft targets: what a teacher expects at one level, given the codes of the earlier levels."""

from __future__ import annotations

import torch

from recommender.model.soft_targets import SoftTargets

#: codes of two levels, numbered through both
CODES = torch.tensor([[0, 2], [0, 3], [1, 2], [1, 3]])
SOFT = SoftTargets(
    targets=torch.tensor([0, 3]),
    items=torch.tensor([[0, 1, 2], [0, 1, 3]], dtype=torch.int32),
    probabilities=torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]], dtype=torch.float16),
    weight=0.5,
)


def test_at_the_first_level_all_expected_items_count():
    codes, probabilities = SOFT.at(torch.tensor([0, 1]), CODES, 0)
    assert codes.tolist() == [[0, 0, 1], [0, 0, 1]]
    torch.testing.assert_close(probabilities, torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]]), atol=1e-3, rtol=0)


def test_at_later_levels_only_items_with_the_same_earlier_codes_count():
    codes, probabilities = SOFT.at(torch.tensor([0, 1]), CODES, 1)
    assert codes.tolist() == [[2, 3, 2], [2, 3, 3]]
    torch.testing.assert_close(probabilities, torch.tensor([[0.625, 0.375, 0], [0, 0, 1]]), atol=1e-3, rtol=0)


def test_without_an_interaction_and_without_a_fitting_item_nothing_is_expected():
    assert not SOFT.at(torch.tensor([-1]), CODES, 0)[1].any()
    none_fits = SoftTargets(torch.tensor([3]), SOFT.items[:1, :2], SOFT.probabilities[:1, :2], 0.5)
    assert none_fits.at(torch.tensor([0]), CODES, 0)[1].any()
    assert not none_fits.at(torch.tensor([0]), CODES, 1)[1].any()
