"""The decoder beside its rivals: the same lists, finished cases kept, long ones told from one prompt."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from recommender.benchmarks.decode_speed import (
    BRUTE,
    CACHED,
    FLOOR,
    INT8,
    OURS,
    DecodeSettings,
    bench_decode,
)


@pytest.fixture
def tiny(llm_folder) -> DecodeSettings:
    """Every method but vLLM, on a model of two layers and forty items."""
    return DecodeSettings(str(llm_folder), 2, 40, "float32", (32,), (40,), (2,), rounds=1, budget=0, checked=2)


@pytest.mark.slow  # the same as below, on the real base
@pytest.mark.assets
def test_every_method_ranks_the_same_prompts_as_brute_force_does():
    settings = DecodeSettings(
        layers=2, items=40, dtype="float32", lengths=(48,), beams=(40,), prompts=(2,), rounds=1, budget=0, checked=2
    )
    rows = {row["method"]: row for row in bench_decode(settings)}
    for method in ("ours", "ours, instruction cached", "transformers, vectorised", "brute force"):
        assert rows[method]["top 10"] == 1, method
    assert rows["ours"]["of ours"] == 1 and rows["floor: bare passes"]["top 10"] is None
    assert all(row["seconds"] > 0 and row["rounds"] == 1 for row in rows.values())


def test_methods_are_compared_with_ours_and_with_the_floor(tiny):
    rows = {row["method"]: row for row in bench_decode(tiny)}
    assert set(rows) == {
        *(OURS, CACHED, INT8, BRUTE, FLOOR),
        *("transformers, prefix function", "transformers, vectorised"),
    }
    for row in rows.values():
        assert row["of ours"] == pytest.approx(row["seconds"] / rows[OURS]["seconds"])
        assert row["of the floor"] == pytest.approx(row["seconds"] / rows[FLOOR]["seconds"])
        assert (row["positions"], row["beams"], row["prompts"]) == (32, 40, 2)
    # a beam as wide as the catalogue misses nothing; a prefix function scores otherwise, and 8 bits may swap near ties
    assert rows[FLOOR]["top 10"] is None
    assert rows[INT8]["top 10"] >= 0.8 and 0 < rows["transformers, prefix function"]["top 10"] <= 1
    assert all(rows[name]["top 10"] == 1 for name in (OURS, CACHED, BRUTE, "transformers, vectorised"))


def test_methods_may_be_left_out(tiny):
    rows = bench_decode(replace(tiny, brute=False, transformers=False, int8=False, checked=0))
    assert [row["method"] for row in rows] == [OURS, CACHED, FLOOR]
    assert all(row["top 10"] is None for row in rows)


def test_cases_with_few_prompts_come_first():
    settings = DecodeSettings(lengths=(8, 16), beams=(2,), prompts=(4, 1))
    assert settings.cases == [(8, 2, 1), (8, 2, 4), (16, 2, 1), (16, 2, 4)]


def test_a_finished_case_is_kept_and_a_long_one_is_told_from_one_prompt(tmp_path, llm_folder):
    settings = DecodeSettings(
        str(llm_folder), 2, 40, "float32", (32,), (4,), (1,), rounds=1, budget=0, checked=1, brute=False, int8=False
    )
    alone = bench_decode(settings, keep=tmp_path / "rows.jsonl")
    both = replace(settings, prompts=(1, 3), limit=0.0)
    assert bench_decode(replace(both, limit=settings.limit, prompts=(1,)), keep=tmp_path / "rows.jsonl") == alone
    rows = {(row["prompts"], row["method"]): row for row in bench_decode(both)}
    assert rows[3, "ours"]["seconds"] == pytest.approx(3 * rows[1, "ours"]["seconds"])
    assert rows[3, "ours"]["rounds"] == 0 and rows[3, "ours"]["top 10"] is None
    assert rows[1, "floor: bare passes"]["of the floor"] == 1


def test_a_file_of_other_settings_is_not_taken_for_these(tiny, tmp_path):
    few = replace(tiny, brute=False, transformers=False, int8=False, checked=0)
    bench_decode(few, keep=tmp_path / "rows.jsonl")
    bench_decode(replace(few, seed=1), keep=tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [line["settings"]["asked"]["seed"] for line in lines] == ["0", "1"]
    assert all(line["case"] == [32, 40, 2] and len(line["rows"]) == 3 for line in lines)


def test_progress_counts_the_cases_that_are_left(tiny, tmp_path):
    few = replace(tiny, brute=False, transformers=False, int8=False, checked=0, prompts=(1, 2))
    steps: list[tuple[str, int, int]] = []
    bench_decode(few, lambda *step: steps.append(step), keep=tmp_path / "rows.jsonl")
    bench_decode(replace(few, prompts=(1, 2, 3)), lambda *step: steps.append(step), keep=tmp_path / "rows.jsonl")
    cases = [step for step in steps if "positions" in step[0]]
    assert cases == [
        ("32 positions, 40 beams, 1 prompts", 0, 2),
        ("32 positions, 40 beams, 2 prompts", 1, 2),
        ("32 positions, 40 beams, 3 prompts", 0, 1),
    ]
