"""Losses over large levels beside the full one: the same numbers, the same gradients, the same on average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recommender.model.large_softmax import Expected, chunked_losses, sampled_losses
from recommender.model.loss import distillation_loss
from recommender.model.negatives import Drawn, Negatives

LABELS, CODES, HIDDEN, SMOOTHING = 7, 60, 8, 0.1
NOBODY = torch.zeros(0, dtype=torch.long)


@pytest.fixture
def tensors() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(LABELS, HIDDEN, generator=generator).requires_grad_()
    rows = torch.randn(CODES, HIDDEN, generator=generator).requires_grad_()
    return hidden, rows, torch.randint(0, CODES, (LABELS,), generator=generator)


@pytest.fixture
def expected(tensors) -> Expected:
    """A teacher that expects five codes, also the one that came; of the first label nothing, of the second one fewer."""
    generator = torch.Generator().manual_seed(4)
    codes = torch.stack([torch.randperm(CODES, generator=generator)[:5] for _ in range(LABELS)])
    codes[3, 2] = tensors[2][3]
    probabilities = torch.rand(LABELS, 5, generator=generator)
    probabilities[0], probabilities[1, 4] = 0, 0
    return Expected(codes, probabilities / probabilities.sum(1, keepdim=True).clamp_min(1e-9), 0.7)


def full(hidden: Tensor, rows: Tensor, codes: Tensor, smoothing: float, expected: Expected | None) -> Tensor:
    logits = hidden @ rows.T
    losses = nn.functional.cross_entropy(logits, codes, reduction="none", label_smoothing=smoothing)
    if expected is None:
        return losses
    return distillation_loss(losses, logits, expected.codes, expected.probabilities, expected.weight)


def chunked(hidden: Tensor, rows: Tensor, codes: Tensor, smoothing: float, expected: Expected | None) -> Tensor:
    parts = ((16 * number, part) for number, part in enumerate(rows.split(16)))
    return chunked_losses(parts, lambda h, part, first: h @ part.T, hidden, codes, smoothing, expected)


def sampled(hidden: Tensor, rows: Tensor, codes: Tensor, smoothing: float, expected: Expected | None) -> Tensor:
    drawn = Negatives(CODES).draw(CODES, codes)
    return sampled_losses(lambda c: rows[c], hidden, codes, drawn, CODES, smoothing, expected)


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, SMOOTHING])
@pytest.mark.parametrize("method", [chunked, sampled])
def test_chunks_and_a_sample_of_everything_are_the_full_loss(method, smoothing, taught, tensors, expected):
    hidden, rows, codes = tensors
    teacher = expected if taught else None
    for wanted, found in zip(
        _with_gradients(full(hidden, rows, codes, smoothing, teacher), hidden, rows),
        _with_gradients(method(hidden, rows, codes, smoothing, teacher), hidden, rows),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def _with_gradients(losses: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    weights = torch.arange(1.0, len(losses) + 1)  # not all labels alike
    return (losses, *torch.autograd.grad((losses * weights).sum(), parameters))


def test_a_label_that_no_negative_hits_is_scored_all_the_same(tensors):
    hidden, rows, _ = tensors
    drawn = Drawn(torch.tensor([3]), torch.zeros(1))
    codes = torch.full((LABELS,), 5)
    losses = sampled_losses(lambda c: rows[c], hidden, codes, drawn, CODES)
    pair = hidden @ rows[[5, 3]].T
    torch.testing.assert_close(losses, pair.logsumexp(1) - pair[:, 0])


def test_the_denominator_of_a_sample_is_right_on_average(tensors):
    hidden, rows, codes = (tensor.detach() for tensor in tensors)
    logits, negatives = 0.5 * hidden @ rows.T, Negatives(CODES, np.arange(CODES))
    torch.manual_seed(0)
    draws = [
        sampled_losses(lambda c: 0.5 * rows[c], hidden, codes, negatives.draw(20, NOBODY), CODES) for _ in range(800)
    ]
    denominators = (torch.stack(draws) + logits.gather(1, codes[:, None])[:, 0]).exp()
    torch.testing.assert_close(denominators.mean(0), logits.exp().sum(1), rtol=0.05, atol=0)


def test_a_sample_learns_from_a_teacher_what_the_whole_does(tensors, expected):
    hidden, rows, codes = (tensor.detach() for tensor in tensors)
    torch.manual_seed(0)
    draws = [
        sampled_losses(
            lambda c: 0.5 * rows[c], hidden, codes, Negatives(CODES).draw(40, NOBODY), CODES, SMOOTHING, expected
        )
        for _ in range(400)
    ]
    whole = full(hidden, 0.5 * rows, codes, SMOOTHING, expected)
    torch.testing.assert_close(torch.stack(draws).mean(0), whole, rtol=0.03, atol=0.03)


def test_draws_and_what_came_are_weighted_by_how_likely_they_were():
    counts, random = np.array([0, 2, 6, 2]), np.random.default_rng(0)
    torch.manual_seed(1)
    total = torch.zeros(4)
    for _ in range(800):
        came = torch.from_numpy(random.choice(4, 2, p=counts / 10))
        drawn = Negatives(4, counts).draw(3, came)
        assert drawn.codes.tolist() == sorted(set(drawn.codes.tolist())) and set(came.tolist()) <= set(
            drawn.codes.tolist()
        )
        total[drawn.codes] += drawn.log_weights.exp()
    torch.testing.assert_close(total / 800, torch.ones(4), rtol=0.15, atol=0)  # each stands for one code on average
