"""How steps grow with the catalogue: exponents, what is kept between runs, and one whole run on a small world."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from recommender.benchmarks import catalogue
from recommender.benchmarks.catalogue import RESULTS, CatalogueSettings, bench_catalogue, check_steps, exponent
from recommender.benchmarks.catalogue_steps import STEPS
from recommender.benchmarks.catalogue_world import INTERACTIONS, ITEMS, LENGTH, write_world
from recommender.data import checks
from recommender.errors import DataError, RecommenderError


def test_exponents_are_those_of_powers():
    sizes = (10, 100, 1000)
    assert exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [2.0, 2.0, 2.0]) == pytest.approx(0)
    assert exponent((10,), [1.0]) is None


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    asked = []

    def measured(settings, folder, size, name):
        asked.append((size, name))
        if name == "train" and size == 100:
            raise RecommenderError("100 items: train failed: killed")
        return {"seconds": size / 10, "processor": size / 5, "MB": 7.4, "details": {}}

    monkeypatch.setattr(catalogue, "_measured", measured)
    settings = CatalogueSettings(sizes=(10, 100), users=5, steps=("tables", "validate", "train"))
    with pytest.raises(RecommenderError, match="train failed"):
        bench_catalogue(settings, tmp_path)
    assert len(asked) == 6
    monkeypatch.setattr(
        catalogue,
        "_measured",
        lambda *_: {"seconds": 1.0, "processor": 2.0, "MB": 3.0, "details": {"step seconds": 4.0}},
    )
    rows = bench_catalogue(settings, tmp_path)
    assert [row["step"] for row in rows] == ["validate", "train"]
    assert rows[0] == {
        "step": "validate",
        "s, 10": 2,
        "MB, 10": 7,
        "s, 100": 20,
        "MB, 100": 7,
        "exponent": pytest.approx(1),
    }
    assert rows[1]["s, 100"] == 4 and len(json.loads((tmp_path / RESULTS).read_text())) == 6


def test_steps_are_named():
    assert check_steps([]) == tuple(STEPS) and check_steps(["load", "encode"]) == ("tables", "encode", "load")
    with pytest.raises(DataError, match="no step 'lod'"):
        check_steps(["lod"])


def test_a_world_is_two_tables_without_errors(tmp_path):
    write_world(tmp_path, items=300, users=20)
    report = checks.validate(tmp_path / ITEMS, tmp_path / INTERACTIONS)
    assert report.ok and (report.items, report.users, report.interactions) == (300, 20, 20 * LENGTH)
    assert pq.read_table(tmp_path / ITEMS).column_names[:2] == ["item_id", "title"]


@pytest.mark.slow
def test_all_steps_run_on_a_small_world(tmp_path):
    steps = tuple(name for name in STEPS if name != "135M step")
    settings = CatalogueSettings(sizes=(300,), users=200, train_users=50, asked=20, steps=steps)
    rows = bench_catalogue(settings, tmp_path)
    assert [row["step"] for row in rows] == list(steps[1:])
    assert all(row["s, 300"] >= 0 and row["MB, 300"] > 100 for row in rows)
