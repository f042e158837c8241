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


def test_parts_go_through_the_same_weights_one_by_one():
    torch.manual_seed(0)
    projector, there = Projector(6, 32, 2, 1.0, parts=3), torch.ones(4, dtype=torch.bool)
    vectors = torch.randn(4, 6)
    soft = projector(vectors, there)
    assert soft.shape == (4, 6, 32) and projector.null.shape == (6, 32) and projector.leave.weight.shape[0] == 64
    turned = projector(torch.cat([vectors[:, 4:], vectors[:, :4]], 1), there)
    assert torch.allclose(turned, torch.cat([soft[:, 4:], soft[:, :4]], 1))
    # a picture that is the same everywhere is that picture
    alike, one = vectors[:, :2].repeat(1, 3), Projector(2, 32, 2, 1.0)
    one.load_state_dict(projector.state_dict() | {"null": projector.null[:2]})
    assert torch.allclose(
        projector.as_position(projector(alike, there)), one.as_position(one(alike[:, :2], there)), atol=1e-5
    )
