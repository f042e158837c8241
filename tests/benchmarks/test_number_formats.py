"""How exact a ranking is: rounding and the width of the beam are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender.benchmarks.number_formats import BFLOAT16, FLOAT32, FORMATS, INT8, bench_agreement, in_format
from recommender.model.checkpoint import Checkpoint
from tests.conftest import write_tables


@pytest.fixture
def make_saved(make_checkpoint, config, catalogue, tmp_path, monkeypatch):
    """Let the benchmark load a tiny checkpoint with interactions of nine users, of so many levels."""

    def make(levels: int) -> Checkpoint:
        walks = [[(user + n) % 20 for n in range(5)] for user in range(9)]
        tables = {f"data.{name}": path for name, path in write_tables(tmp_path, catalogue, walks).items()}
        settings = config.updated(tables)
        checkpoint = replace(make_checkpoint(levels, settings), config=settings)
        monkeypatch.setattr("recommender.benchmarks.number_formats.from_pretrained", lambda *_: checkpoint)
        return checkpoint

    return make


def test_rounding_is_told_from_width(make_saved):
    make_saved(3)
    rows = bench_agreement("-", users=6, beams=[1, 64], formats=FORMATS, k=5)
    found = {(row["format"], row["search"]): row for row in rows}
    assert all(row["users"] == 6 for row in rows) and len(rows) == 12
    assert found["float32", "all items"]["top 5"] == found["float32", "64 beams"]["top 5"] == 1
    assert found["float32", "1 beams"]["top 5"] <= 1 and found["bfloat16", "all items"]["top 5"] > 0.8
    assert found["float32", "all items"]["lost"] == 0 <= found["float32", "1 beams"]["lost"] + 1e-6


def test_with_one_level_all_items_are_scored_whatever_the_width(make_saved):
    make_saved(1)
    rows = bench_agreement("-", users=4, beams=[1, 64], formats=[FLOAT32], k=3)
    assert [row["search"] for row in rows] == ["all items"] and rows[0]["proven"] == 1


def test_a_format_changes_the_base_and_leaves_the_model_as_it_was(make_saved):
    model = make_saved(1).model
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    rounded = in_format(model, BFLOAT16)
    for name, parameter in rounded.peft.named_parameters():
        assert parameter.dtype == (torch.float32 if "lora_" in name else torch.bfloat16), name
    assert in_format(model, INT8).config.decoding.bits == 8 and in_format(model, FLOAT32).config.decoding.bits == 16
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), before[name].detach().numpy())
