"""Training speed: the packed loop and a plain Trainer learn from the same examples."""

from __future__ import annotations

import pytest

from recommender.benchmarks.training_speed import PACKED, PLAIN, bench_train
from recommender.errors import CheckpointError
from recommender.model.checkpoint import save_pretrained
from tests.conftest import write_tables


@pytest.fixture
def saved(make_checkpoint, config, catalogue, histories, tmp_path) -> str:
    tables = {f"data.{name}": path for name, path in write_tables(tmp_path, catalogue, histories).items()}
    save_pretrained(make_checkpoint(1, config.updated(tables)), tmp_path / "model")
    return str(tmp_path / "model")


def test_both_ways_are_measured_and_compared(saved, capsys):
    rows = bench_train(saved, examples=6, rounds=1)
    assert [row["method"] for row in rows] == [PACKED, PLAIN]
    packed, plain = rows
    assert all(row["examples a second"] > 0 for row in rows)
    assert plain["of the Trainer"] == plain["by CPU time"] == 1
    assert packed["of the Trainer"] == pytest.approx(packed["examples a second"] / plain["examples a second"])
    assert capsys.readouterr().out == ""  # results belong there, and a Trainer likes to write


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        bench_train(str(tmp_path / "nowhere"))
