"""`recommender study privacy`: a tiny model is attacked through the command line."""

from __future__ import annotations

import json

from tests.cli.conftest import refused, write_csv


def test_a_model_is_attacked_and_figures_and_page_are_written(run, trained, catalogue, tmp_path):
    rows = [(f"x{u}", catalogue[(3 * u + 7 * n) % 20].item_id, n) for u in range(6) for n in range(7)]
    write_csv(tmp_path / "others.csv", ("user_id", "item_id", "timestamp"), rows)
    options = ("--others", tmp_path / "others.csv", "--reference", trained, "--output", tmp_path / "attacked")
    code, out, err = run("study", "privacy", f"tiny={trained}", *options, "--json", "-q")
    assert code == 0, err
    found = json.loads(out)["models"]["tiny"]["attacks"]
    assert set(found) == {"loss", "lists"} and found["loss"]["auc"] == 0.5  # it is its own reference
    assert {"privacy.json", "report.html"} <= {path.name for path in (tmp_path / "attacked").iterdir()}
    refused(run("study", "privacy", "popularity", "--output", tmp_path / "none", "-q"), "is not one checkpoint")
