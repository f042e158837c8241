"""FSDP 2 on two CPU processes: each holds half of every weight, and what is learned is what one process learns."""

from __future__ import annotations

import gc
import os
import signal

import numpy as np
import pytest
from torch.distributed.tensor import DTensor

from recommender.training.loop import STATE
from tests.training.several import in_processes
from tests.training.test_processes import STAGES, assert_close, log_of, train

__all__ = ["train"]


@pytest.mark.slow
def test_half_of_every_weight_in_each_process_learns_the_same(train, tmp_path):
    held: list[float] = []

    def measure(what: str, done: int, total: int) -> None:
        parts = [p for p in gc.get_objects() if isinstance(p, DTensor)]
        held.append(sum(p.to_local().numel() for p in parts) / sum(p.numel() for p in parts))

    def work(rank: int):
        return train("two", None if rank else measure), (min(held), max(held)) if held else None

    (first, share), (second, _) = in_processes(2, work, ACCELERATE_USE_FSDP="true")
    expected = train("one")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert_close(first, expected)
    assert 0.4 < share[0] <= share[1] < 0.6
    one, two = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    for column in ("loss", "validation"):
        values = [[float(row[column]) for row in rows if row[column]] for rows in (one, two)]
        np.testing.assert_allclose(*values, rtol=5e-3, atol=0.05 * (column == "validation"))


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_can_be_saved(train, tmp_path):
    rank_only = STAGES[:1]

    def stop(what: str, done: int, total: int) -> None:
        if done == total // 2:
            os.kill(os.getpid(), signal.SIGTERM)

    fsdp = {"ACCELERATE_USE_FSDP": "true"}
    whole, _ = in_processes(2, lambda rank: train("whole", stages=rank_only), **fsdp)
    assert in_processes(2, lambda rank: train("again", stop, rank_only), **fsdp) == ["stopped", "stopped"]
    assert (tmp_path / "again" / STATE).is_file()
    resumed, _ = in_processes(2, lambda rank: train("again", stages=rank_only), **fsdp)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
