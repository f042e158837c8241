"""Fusions as networks: shapes, weights, and what may teach what."""

from __future__ import annotations

import pytest
import torch

from recommender.studies.ratings.fusion_networks import FUSIONS, Cascade, Gating, Parallel
from tests.studies.ratings.ratings_world import SETTINGS

WIDTHS = {"text": 5, "image": 3}


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


def test_the_joint_logits_of_late_fusion_do_not_teach_the_branches():
    parallel = Parallel(WIDTHS, 5, SETTINGS).eval()
    *branches, joint = parallel(blocks())
    torch.testing.assert_close(joint, torch.stack(branches).mean(dim=0))  # equal shares before training
    joint.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in parallel.branches.parameters())
    assert parallel.scale.grad is not None and parallel.scale.grad != 0


def test_gating_with_equal_weights_is_the_average():
    gating = Gating(WIDTHS, 5, SETTINGS).eval()
    for attend in gating.attend.values():
        torch.nn.init.zeros_(attend.weight)
        torch.nn.init.zeros_(attend.bias)
    expected = gating.head(gating.projected(blocks()).mean(dim=1))
    torch.testing.assert_close(gating(blocks())[0], expected)


@pytest.mark.parametrize("name", FUSIONS)
def test_rows_do_not_depend_on_each_other(name):
    torch.manual_seed(1)
    module = FUSIONS[name](WIDTHS, 5, SETTINGS).eval()
    together = module(blocks())[-1]
    alone = module({part: block[2:3] for part, block in blocks().items()})[-1]
    torch.testing.assert_close(together[2:3], alone)
