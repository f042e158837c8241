from __future__ import annotations

import math

import numpy as np
import pytest

from recommender.eval import resources
from recommender.eval.resources import peak_memory


def test_what_a_block_holds_at_most_is_measured():
    with peak_memory() as memory:
        held = np.ones(10_000_000)  # 80 MB
        assert math.isnan(memory.megabytes)
        del held
    assert 70 < memory.megabytes < 130


def test_a_small_block_after_a_large_one_is_small():
    for megabytes in (80, 20):
        with peak_memory() as memory:
            np.ones(megabytes * 125_000)
    assert memory.megabytes < 60


def test_memory_that_an_earlier_block_freed_counts_again():
    measured = []
    for _ in range(2):
        with peak_memory() as memory:
            held = [np.ones(12_000) for _ in range(500)]  # 48 MB in pieces too small to be mapped one by one
            del held
        measured.append(memory.megabytes)
    assert measured[1] > 40


def test_where_the_peak_cannot_be_set_back_its_growth_is_told(monkeypatch):
    monkeypatch.setattr(resources, "_status", lambda name: None)
    with peak_memory() as memory:
        pass
    assert 0 <= memory.megabytes < 20


def test_it_is_measured_even_if_the_block_fails():
    with pytest.raises(RuntimeError), peak_memory() as memory:
        raise RuntimeError
    assert memory.megabytes >= 0
