"""Export, and outputs that would replace something else."""

import json

from tests.cli.conftest import refused


def test_export_writes_plain_models(run, trained, tmp_path):
    code, out, _ = run("export", trained, tmp_path / "plain", "--to", "transformers", "--json", "-q")
    assert code == 0 and json.loads(out)["rank_difference"] < 1e-3
    assert {p.name for p in (tmp_path / "plain").iterdir()} == {"rank", "write", "items.json"}


def test_an_output_that_would_replace_something_else(run, trained, recipe, tables, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for result in (
        run("train", "--config", recipe, "--output", tmp_path, "-q"),
        run("export", trained, tmp_path, "-q"),
        run("export", trained, trained, "-q"),
    ):
        refused(result, "a folder with other things in it", "name a new folder")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    code, _, err = run("recommend", trained, "--items", tables / "interactions.csv", "-q")
    assert code == 2 and "error: " in err  # the items of another catalogue
    (tmp_path / "thesis.txt").rename(tmp_path / "file")
    refused(run("train", "--config", recipe, "--output", tmp_path / "file" / "model", "-q"), "no folder that you may")
