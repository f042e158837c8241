"""Where the time of a search goes, by kind of operator, and its lower bound."""

from __future__ import annotations

import pytest

from recommender.benchmarks.decode_speed import DecodeSettings
from recommender.benchmarks.operator_profile import BARE, OTHER, OUTSIDE, PARTS, bench_profile


def test_where_the_time_goes(llm_folder):
    settings = DecodeSettings(str(llm_folder), 2, 40, "float32", (32,), (4,), (2,), rounds=1)
    rows = bench_profile(settings)
    for phase in ("prefill", "passes"):
        parts = [row for row in rows if row["phase"] == phase]
        assert sum(row["share"] for row in parts if row["part"] != BARE) == pytest.approx(1)
        assert parts[-1]["part"] == BARE and parts[-1]["GFLOP/s"] > 0
        assert next(row["ms"] for row in parts if row["part"] == "layers: matrix products") > 0


def test_every_case_and_phase_has_the_same_parts(llm_folder):
    settings = DecodeSettings(str(llm_folder), 1, 40, "float32", (16, 24), (2,), (1,), rounds=1)
    steps: list[tuple[str, int, int]] = []
    rows = bench_profile(settings, lambda *step: steps.append(step))
    parts = [*PARTS, OTHER, OUTSIDE, BARE]
    assert [row["part"] for row in rows] == parts * 4  # two cases, two phases
    assert all(row["ms"] >= 0 and row["share"] >= 0 for row in rows)
    assert steps[-1] == ("24 positions, 2 beams, 1 prompts", 1, 2)


def test_no_operator_counts_as_two_parts():
    names = [name for part in PARTS.values() for name in part]
    assert len(names) == len(set(names))
