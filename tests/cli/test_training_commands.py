"""Train, extend: from tables to a checkpoint, and what cannot become one."""

import csv
import json
import os
import shutil
import signal
import threading

import pytest
import torch
from PIL import Image
from transformers import LlamaForCausalLM

from recommender.files import locked
from recommender.training import loop
from tests.cli.conftest import refused, write_csv


def test_training_leaves_a_checkpoint_a_log_and_a_plot(trained):
    assert {"adapter.safetensors", "config.yaml", "README.md", "checkpoint.json"} <= {p.name for p in trained.iterdir()}
    work = trained.with_name("tiny.training")
    stages = [row["stage"] for row in csv.DictReader((work / "log.csv").open())]
    assert list(dict.fromkeys(stages)) == ["align", "rank", "explain"]
    with Image.open(work / "loss.png") as plot:
        assert plot.format == "PNG"
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


def test_shrink_leaves_a_checkpoint_with_fewer_layers(run, trained, recipe, tmp_path):
    asked = ("shrink", trained, "--output", tmp_path / "small", "-q")
    code, out, _ = run(*asked, "--layers", 1, "--config", recipe, "--set", "training.stages.1.max_steps=2", "--json")
    assert code == 0 and [(row["stage"], row["steps"]) for row in json.loads(out)] == [("rank", 2)]
    assert "rank_layers: 1" in (tmp_path / "small" / "config.yaml").read_text()
    assert run("recommend", tmp_path / "small", "--history", "100", "--k", "1", "--no-explain", "-q")[0] == 0
    refused(run(*asked, "--layers", 2), "ranks with 2 layers, and 2 are not fewer", "between 1 and 1")
    refused(run(*asked, "--layers", 1, "--set", "seed=1"), "--set changes a recipe, and none is named")


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


def test_the_card_tells_what_was_changed_and_the_folder_holds_the_whole_recipe(run, recipe, tmp_path):
    """`config.yaml` of a checkpoint trains the same checkpoint again, to the byte."""
    changes = ("--set", "seed=5", "--set", "training.stages.1.max_steps=2")
    code, _, _ = run("train", "--config", recipe, "--output", tmp_path / "one", *changes, "-q")
    card = (tmp_path / "one" / "README.md").read_text()
    assert (
        code == 0 and f"`recommender train --config {recipe} --set seed=5 --set training.stages.1.max_steps=2`" in card
    )
    assert f"recommender train --config {tmp_path / 'one'}/config.yaml --output NEW" in card
    assert "| encoders | collaborative vectors of width 4 |" in card
    code, _, _ = run("train", "--config", tmp_path / "one" / "config.yaml", "--output", tmp_path / "two", "-q")
    weights = [(tmp_path / name / "adapter.safetensors").read_bytes() for name in ("one", "two")]
    assert code == 0 and weights[0] == weights[1]


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--config", "RECIPE", "--output"),
        ("extend", "TRAINED", "--items", "ITEMS", "--output"),
        ("fuse", "TRAINED", "ease", "--output"),
        ("export", "TRAINED"),
        ("export", "TRAINED", "--to", "vllm"),
        ("evaluate", "popularity", "--items", "ITEMS", "--interactions", "INTERACTIONS", "--output"),
    ],
    ids=lambda command: "-".join(command[:1] + command[2:4]),
)
def test_two_at_once_into_one_folder_are_refused(run, recipe, trained, tables, tmp_path, command):
    names = {
        "RECIPE": recipe,
        "TRAINED": trained,
        "ITEMS": tables / "items.csv",
        "INTERACTIONS": tables / "interactions.csv",
    }
    held, free = threading.Event(), threading.Event()

    def hold():
        with locked(tmp_path / "out", "training"):
            held.set()
            free.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        result = run(*(names.get(word, word) for word in command), tmp_path / "out", "-q")
    finally:
        free.set()
        holder.join()
    refused(result, f"out: is held by process {os.getpid()} on ", "(training, since 20", "hint: wait until it ends")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_stopped_training_says_what_is_kept_and_goes_on(run, recipe, tmp_path, number, monkeypatch, caplog):
    output, step = tmp_path / "model", loop._Stage._step

    def stop(stage, at, parts):
        if stage.config.stage == "rank" and at == 1:
            os.kill(os.getpid(), number)
        return step(stage, at, parts)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Stage, "_step", stop)
        code, _, err = run("train", "--config", recipe, "--output", output, "-q")
    assert code == 128 + number and "Traceback" not in err and not output.exists()
    assert (
        f"stopped: the run is kept in {output}.training (stage 2, step 2 of 4); the same command goes on" in caplog.text
    )
    refused(
        run("train", "--config", recipe, "--output", output, "--set", "training.stages.0.max_steps=1", "-q"),
        "training.stages.0.max_steps is 1, was 2",
    )
    code, _, _ = run("train", "--config", recipe, "--output", output, "-q")
    assert code == 0 and output.exists()


def test_another_base_model_under_the_same_name_is_refused(run, trained, recipe, tmp_path, llm_folder):
    base = tmp_path / "base"
    shutil.copytree(llm_folder, base)
    setting = f"base.llm={base}"
    code, _, _ = run("train", "--config", recipe, "--output", tmp_path / "model", "--set", setting, "-q")
    assert code == 0
    torch.manual_seed(7)
    LlamaForCausalLM(LlamaForCausalLM.from_pretrained(base).config).save_pretrained(base)
    refused(
        run("recommend", tmp_path / "model", "--history", "100", "--k", "1", "-q"),
        "was made for another base model than that which",
    )


def test_a_training_goes_on_from_a_checkpoint(run, trained, recipe, tmp_path):
    output = tmp_path / "on"
    refused(run("train", "--config", recipe, "--output", output, "--from-stage", 2), "--from-stage", "--start MODEL")
    code, out, _ = run(
        "train", "--config", recipe, "--start", trained, "--from-stage", 2, "--output", output, "--json", "-q"
    )
    assert code == 0 and [stage["stage"] for stage in json.loads(out)] == ["rank"] and output.is_dir()
