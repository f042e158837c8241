"""Train, extend: from tables to a checkpoint, and what cannot become one."""

import csv
import json

from PIL import Image

from tests.cli.conftest import refused, write_csv


def test_training_leaves_a_checkpoint_a_log_and_a_plot(trained):
    assert {"adapter.safetensors", "config.yaml", "README.md", "checkpoint.json"} <= {p.name for p in trained.iterdir()}
    work = trained.with_name("tiny.training")
    stages = [row["stage"] for row in csv.DictReader((work / "log.csv").open())]
    assert list(dict.fromkeys(stages)) == ["align", "rank", "explain"]
    with Image.open(work / "loss.png") as plot:
        assert plot.width > 300
    assert "| rank | 4 |" in (trained / "README.md").read_text()


def test_extend_adds_items_that_are_ranked_at_once(run, text_recipe, tables, tmp_path):
    code, _, _ = run("train", "--config", text_recipe, "--output", tmp_path / "model", "-q")
    assert code == 0
    longer = tmp_path / "longer.csv"
    longer.write_text((tables / "items.csv").read_text() + "new,The red war,comedy,1990\n")
    code, out, _ = run("extend", tmp_path / "model", "--items", longer, "--output", tmp_path / "more", "--json", "-q")
    (told,) = json.loads(out)
    assert code == 0 and (told["items"], told["new"]) == (21, 1) and 0 < told["share of lists"] < 1
    code, out, _ = run(
        "recommend", tmp_path / "more", "--history", "100", "--only", "new", "--k", "1", "--no-explain", "--json"
    )
    assert code == 0 and [item["item_id"] for item in json.loads(out)["items"]] == ["new"]
    code, _, err = run(
        "extend", tmp_path / "more", "--items", tables / "items.csv", "--output", tmp_path / "less", "-q"
    )
    assert code == 2 and "lacks 1 of the model's items, first 'new'" in err and not (tmp_path / "less").exists()


def test_a_missing_column(run, recipe, tables, tmp_path):
    write_csv(tmp_path / "items.csv", ("id", "title"), [("1", "a")])
    target = tmp_path / "model"
    result = run(
        *("train", "--config", recipe, "--output", target, "-q", "--set", f"data.items={tmp_path / 'items.csv'}"),
    )
    refused(result, "items.csv", "item_id", "data.columns.item_id")
    assert not target.exists()


def test_a_base_model_of_another_kind(run, recipe, tmp_path, text_folder):
    target = tmp_path / "model"
    settings = ("--set", f"base.llm={text_folder}", "--set", "lora.target_modules=[nothing]")
    refused(run("train", "--config", recipe, "--output", target, "-q", *settings), "base.llm")
    refused(run("train", "--config", recipe, "--output", target, "-q", *settings[2:]), "lora.target_modules: nothing")
    assert not target.exists()


def test_a_misspelt_key(run, recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.read_text().replace("rank_layers", "rank_layer"))
    refused(run("train", "--config", path, "--output", tmp_path / "model", "-q"), "'base.rank_layer'", "rank_layers")
    assert not (tmp_path / "model").exists()
