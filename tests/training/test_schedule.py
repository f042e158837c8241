"""Learning rates: a warm-up and a cosine, as transformers computes each of the two."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import optimization

from recommender.training.schedule import LOWEST, learning_rate_share


def theirs(make, total, warmup):
    """The shares that a schedule of transformers gives at each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer, num_warmup_steps=warmup, num_training_steps=total)
    shares = []
    for _ in range(total):
        shares.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return shares


@pytest.mark.parametrize(("total", "ratio"), [(306, 0.05), (40, 0.2), (7, 0.3)])
def test_warm_up_and_cosine_are_those_of_transformers(total, ratio):
    warmup = round(ratio * total)
    ours = [learning_rate_share(step, total, ratio) for step in range(total)]
    with_rate = optimization.get_cosine_with_min_lr_schedule_with_warmup_lr_rate
    rising = theirs(partial(with_rate, min_lr_rate=LOWEST), total, warmup)
    falling = theirs(
        partial(optimization.get_cosine_with_min_lr_schedule_with_warmup, min_lr_rate=LOWEST), total, warmup
    )
    assert ours[:warmup] == pytest.approx(rising[:warmup]) and ours[warmup:] == pytest.approx(falling[warmup:])
    assert falling[0] == 0.0 < ours[0]  # theirs would waste the first step


@given(st.integers(1, 400), st.floats(0, 0.99))
def test_the_rate_rises_to_its_peak_once_and_then_falls(total, ratio):
    shares = [learning_rate_share(step, total, ratio) for step in range(total)]
    peak = shares.index(max(shares))
    assert max(shares) == pytest.approx(1.0)
    assert shares[: peak + 1] == sorted(shares[: peak + 1]) and shares[peak:] == sorted(shares[peak:], reverse=True)
    assert min(shares) > 0 and all(share >= LOWEST for share in shares[peak:])


def test_it_ends_at_a_tenth():
    assert learning_rate_share(100, 100, 0.05) == pytest.approx(LOWEST)
