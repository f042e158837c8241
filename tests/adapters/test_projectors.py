"""Projectors: soft tokens of the asked size, and null tokens for what is absent."""

from __future__ import annotations

import pytest
import torch

from recommender.adapters.projectors import Projector


@pytest.mark.parametrize("tokens", [1, 3])
def test_each_item_has_its_soft_tokens_and_absent_ones_the_null_tokens(tokens):
    torch.manual_seed(0)
    projector = Projector(6, 32, tokens, 1.0)
    soft = projector(torch.randn(4, 6), torch.tensor([True, False, True, False]))
    assert soft.shape == (4, tokens, 32)
    assert torch.equal(soft[1], projector.null) and torch.equal(soft[3], projector.null)
    assert not torch.equal(soft[0], soft[2])


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_soft_tokens_start_with_about_the_asked_norm(scale):
    torch.manual_seed(0)
    projector = Projector(64, 128, 1, scale)
    soft = projector(3**0.5 * torch.randn(200, 64), torch.ones(200, dtype=torch.bool))
    assert 0.5 * scale < float(soft.detach().norm(dim=-1).mean()) < 2 * scale
    assert 0.5 * scale < float(projector.null.detach().norm()) < 2 * scale
