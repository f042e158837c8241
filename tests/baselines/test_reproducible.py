"""A block with a seed: the same draws inside, and nothing changed outside, even after an error."""

from __future__ import annotations

import pytest
import torch

from recommender.baselines.reproducible import reproducible


def test_the_seed_decides_what_is_drawn():
    draws = []
    for seed in (3, 3, 4):
        with reproducible(seed):
            draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_the_generator_outside_goes_on_as_if_nothing_had_happened():
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    with reproducible(0):
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("strict", [False, True])
def test_determinism_is_switched_on_inside_and_restored_after_an_error(strict):
    torch.use_deterministic_algorithms(strict)
    try:
        with pytest.raises(KeyError), reproducible(0):
            assert torch.are_deterministic_algorithms_enabled()
            raise KeyError
        assert torch.are_deterministic_algorithms_enabled() is strict
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(False)
