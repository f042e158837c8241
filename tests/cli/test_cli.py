"""The command line, as people type it: results on standard output, one clear line and exit code 2 for a wrong input."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from recommender.cli import main


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process; returns exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["recommender", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return call


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def tables(tmp_path_factory, catalogue, histories):
    """items.csv, interactions.csv and recipe.yaml of the tiny world."""
    folder = tmp_path_factory.mktemp("tables")
    rows = [(i.item_id, i.title, "|".join(i.attributes["genres"]), i.attributes["year"][0]) for i in catalogue]
    write(folder / "items.csv", ("item_id", "title", "genres", "year"), rows)
    events = [(f"u{u}", catalogue[int(i)].item_id, t) for u, h in enumerate(histories) for t, i in enumerate(h)]
    write(folder / "interactions.csv", ("user_id", "item_id", "timestamp"), events)
    return folder


@pytest.fixture(scope="module")
def recipe(tables, llm_folder):
    settings = {
        "data": {"items": str(tables / "items.csv"), "interactions": str(tables / "interactions.csv")},
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
        "encoders": {"text": None, "image": None, "audio": None, "collaborative_width": 4},
        "lora": {"r": 4, "alpha": 8},
        "prompt": {"history": 6, "titled": 2, "noun": "films"},
        "justify": {"window": 4, "max_new_tokens": 8},
        "training": {
            "stages": [
                {"stage": "align", "epochs": 9, "max_steps": 2, "batch_tokens": 128, "row_tokens": 64},
                {"stage": "rank", "epochs": 9, "max_steps": 4, "batch_tokens": 128, "row_tokens": 64},
                {"stage": "explain", "epochs": 9, "max_steps": 1, "batch_tokens": 128, "row_tokens": 128},
            ]
        },
    }
    path = tables / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def text_recipe(recipe, tmp_path, text_folder):
    """The recipe with a text encoder: what nobody has seen is known by its content alone."""
    settings = yaml.safe_load(recipe.read_text())
    settings["encoders"] |= {"text": str(text_folder), "width": 4, "cache": str(tmp_path / "encodings")}
    settings["training"]["stages"] = settings["training"]["stages"][1:2]
    path = tmp_path / "text.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """A checkpoint trained through the command line."""
    folder = tmp_path_factory.mktemp("trained") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recommender", "train", "--config", str(recipe), "--output", str(folder), "-q"])
        with pytest.raises(SystemExit) as exit_:
            main()
    assert not exit_.value.code
    return folder


def test_training_leaves_a_checkpoint_a_log_and_a_plot(trained):
    assert {"adapter.safetensors", "config.yaml", "README.md", "checkpoint.json"} <= {p.name for p in trained.iterdir()}
    work = trained.with_name("tiny.training")
    stages = [row["stage"] for row in csv.DictReader((work / "log.csv").open())]
    assert list(dict.fromkeys(stages)) == ["align", "rank", "explain"]
    with Image.open(work / "loss.png") as plot:
        assert plot.width > 300
    assert "| rank | 4 |" in (trained / "README.md").read_text()


def test_recommend_prints_json_that_holds(run, trained):
    code, out, _ = run("recommend", trained, "--history", "103,107,112", "--k", 5, "--json")
    items = json.loads(out)["items"]
    assert code == 0 and len({i["item_id"] for i in items}) == 5
    assert not {i["item_id"] for i in items} & {"103", "107", "112"}
    assert [i["score"] for i in items] == sorted((i["score"] for i in items), reverse=True)
    assert all(i["justification"] and i["written_by"] in ("model", "plain") for i in items)


def test_recommend_prints_a_table(run, trained):
    code, out, err = run("recommend", trained, "--k", 3, "--no-explain")
    assert code == 0 and "title" in out and "no history" in err
    assert len([line for line in out.splitlines() if "The " in line]) == 3


def test_explain(run, trained):
    code, out, _ = run("explain", trained, "--item", "104", "--history", "103,107", "--json")
    told = json.loads(out)["why"]
    assert code == 0 and told["item_id"] == "104" and set(told["contributions"]) == {"collaborative"}
    code, out, _ = run("explain", trained, "--item", "104", "--history", "103,107", "--shapley", 4)
    assert code == 0 and told["justification"][:10] in out and "facts shared" in out


def test_explain_answers_questions_back(run, trained):
    asked = ("explain", trained, "--history", "103,107", "--k", 2)
    code, out, _ = run(*asked, "--not", "104", "--without", "107", "--filter", "genres=comedy", "--json")
    told = json.loads(out)
    assert code == 0 and set(told) == {"why_not", "what_if"} and told["why_not"]["rank"] >= 1
    code, out, _ = run(*asked, "--not", "103")
    assert code == 0 and "in your history already" in out.replace("\n", " ")
    for wrong, word in (
        ((), "--item"),
        (("--not", "104", "--filter", "genres"), "NAME=VALUE"),
        (("--not", "1O4"), "1O4"),
    ):
        code, _, err = run(*asked, *wrong)
        assert code == 2 and word in err


def test_a_trace_is_kept_and_replayed(run, trained, tmp_path):
    asked = ("--history", "103,107", "-q", "--trace")
    assert run("recommend", trained, "--k", 3, *asked, tmp_path / "list.json")[0] == 0
    assert run("explain", trained, "--item", "103", *asked, tmp_path / "one.json")[0] == 0
    for name in ("list", "one"):
        code, out, _ = run("replay", tmp_path / f"{name}.json", "-q")
        assert code == 0 and "the same" in out, out
    text = (tmp_path / "list.json").read_text().replace('"k": 3', '"k": 2')
    (tmp_path / "other.json").write_text(text)
    code, out, _ = run("replay", tmp_path / "other.json", "--json", "-q")
    assert code == 1 and "items" in {one["where"] for one in json.loads(out)["differences"]}
    assert run("explain", trained, "--not", "104", *asked, tmp_path / "x.json")[0] == 2
    assert run("replay", tmp_path / "none.json")[0] == 2


def test_feedback_is_kept_and_counts(run, trained, tmp_path):
    kept = tmp_path / "feedback.jsonl"
    asked = ("recommend", trained, "--history", "103,107", "--k", 3, "--no-explain", "-q", "--json", "--feedback", kept)
    first = [item["item_id"] for item in json.loads(run(*asked)[1])["items"]]
    said = ("feedback", trained, "--item", first[0], "--file", kept)
    code, out, _ = run(*said, "not for me", "--user", "ann")
    assert code == 0 and "not for me" in out
    assert first[0] in [item["item_id"] for item in json.loads(run(*asked)[1])["items"]]
    assert first[0] not in [item["item_id"] for item in json.loads(run(*asked, "--user", "ann")[1])["items"]]
    code, _, err = run(*said, "grand")
    assert code == 2 and "helpful" in err
    code, _, err = run(*said, "wrong", "--fact", "genres=opera")
    assert code == 2 and "what is told of it" in err
    code, out, _ = run("explain", trained, "--not", first[0], "--user", "ann", "--feedback", kept, "-q")
    assert code == 0 and "not for you" in out.replace("\n", " ")


def test_evaluate_compares_models_in_one_table(run, trained, tables, tmp_path):
    code, out, _ = run(
        *("evaluate", trained, "popularity", "--items", tables / "items.csv"),
        *("--interactions", tables / "interactions.csv", "--output", tmp_path / "report", "--json", "-q"),
    )
    assert code == 0
    names = set(json.loads(out)["models"])
    assert names == {str(trained), "popularity"}
    assert {"metrics.json", "per_user.parquet", "report.html"} <= {p.name for p in (tmp_path / "report").iterdir()}


def test_evaluate_takes_other_splits_and_seeds(run, tables, tmp_path):
    code, out, _ = run(
        *("evaluate", "popularity", "ease", "--items", tables / "items.csv", "--split", "folds", "--folds", 3),
        *("--interactions", tables / "interactions.csv", "--output", tmp_path / "report", "--json", "-q"),
        *("--seeds", "0,1", "--attribute", "year"),
    )
    told = json.loads(out)
    assert code == 0 and told["about"]["split"] == "3 folds over users" and told["about"]["attribute"] == "year"
    assert set(told["models"]["ease"]["runs"]) == {"seed 0", "seed 1"}


def test_evaluate_writes_its_table_into_the_card(run, trained, tables, tmp_path):
    shutil.copytree(trained, tmp_path / "mine")
    code, _, _ = run(
        *("evaluate", tmp_path / "mine", "popularity", "--items", tables / "items.csv", "-q", "--record"),
        *("--interactions", tables / "interactions.csv", "--output", tmp_path / "report"),
    )
    card = (tmp_path / "mine" / "README.md").read_text()
    assert code == 0 and "## Ranking" in card and "| popularity |" in card and "12 users" in card
    code, _, _ = run("recommend", tmp_path / "mine", "--k", 2, "--no-explain", "-q")  # its manifest still holds
    assert code == 0


def test_encode_and_tokenize_report(run, recipe):
    code, out, _ = run("encode", "--config", recipe, "--json", "-q")
    assert code == 0 and json.loads(out) == [{"modality": "collaborative", "items": 19, "absent": 1, "width": 4}]
    code, out, _ = run(
        *("tokenize", "--config", recipe, "--json", "-q"),
        *("--set", "semantic_ids.levels=3", "--set", "semantic_ids.codebook_size=4"),
    )
    report = json.loads(out)
    assert code == 0 and report["items"] == 20 and len(report["levels"]) == 4  # the last one against collisions
    code, out, _ = run("tokenize", "--config", recipe, "-q", "--set", "semantic_ids.levels=2")
    assert code == 0 and "use of the codes" in out and "what the codes of the first level mean" in out


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


def test_a_table_that_is_not_where_the_checkpoint_says(run, trained, tmp_path):
    code, _, err = run("recommend", trained, "--history", "100", "--items", tmp_path / "gone.csv")
    assert code == 2 and "gone.csv: no such file" in err and "where the table of items is" in err


def test_export_writes_plain_models(run, trained, tmp_path):
    code, out, _ = run("export", trained, tmp_path / "plain", "--to", "transformers", "--json", "-q")
    assert code == 0 and json.loads(out)["rank_difference"] < 1e-3
    assert {p.name for p in (tmp_path / "plain").iterdir()} == {"rank", "write", "items.json"}


def test_validate_tells_good_from_bad(run, tables, tmp_path):
    code, out, _ = run("validate", "--items", tables / "items.csv", "--interactions", tables / "interactions.csv")
    assert code == 0 and "20 items" in out and "no errors" in out
    write(tmp_path / "items.csv", ("item_id", "title"), [("1", "a"), ("1", "b")])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv", "--json")
    assert code == 2 and json.loads(out)["ok"] is False


def test_env_names_versions_and_assets(run):
    code, out, _ = run("env", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["torch"] and "asset smollm2-135m-instruct" in facts


# Wrong inputs: exit code 2, one line that names what is wrong, and what to do.


def refused(result, *expected):
    code, out, err = result
    assert code == 2 and out == ""
    lines = err.strip().splitlines()
    assert len(lines) <= 2 and lines[0].startswith("error: ") and "Traceback" not in err
    for text in expected:
        assert text in err, err


def test_a_missing_column(run, recipe, tables, tmp_path):
    write(tmp_path / "items.csv", ("id", "title"), [("1", "a")])
    target = tmp_path / "model"
    result = run(
        *("train", "--config", recipe, "--output", target, "-q", "--set", f"data.items={tmp_path / 'items.csv'}"),
    )
    refused(result, "items.csv", "item_id", "data.columns.item_id")
    assert not target.exists()


def test_duplicate_item_ids(run, recipe, tmp_path):
    write(tmp_path / "items.csv", ("item_id", "title"), [("101", "a"), ("101", "b")])
    settings = ("--set", f"data.items={tmp_path / 'items.csv'}")
    refused(run("encode", "--config", recipe, "-q", *settings), "items.csv, line 3", "'101', first in line 2")


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("cut.jpg", "jpeg", "image"),
        ("text.wav", b"this is no sound", "audio"),
        ("empty.jpg", b"", "image"),
        ("empty.wav", b"", "audio"),
    ],
)
def test_damaged_media(run, tmp_path, name, content, column):
    path = tmp_path / name
    if content == "jpeg":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:900]
    path.write_bytes(content)
    write(tmp_path / "items.csv", ("item_id", "title", column), [("101", "a", name)])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv")
    assert code == 2 and name in out and "hint" in out


def test_an_unknown_id_in_a_history(run, trained):
    refused(run("recommend", trained, "--history", "103,1O7", "-q"), "'1O7'", "107")


def test_k_beyond_the_catalogue(run, trained):
    refused(run("recommend", trained, "--k", 21, "-q"), "k is 21", "set k to 20 or less")


def test_a_checkpoint_with_a_file_missing(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "broken")
    (tmp_path / "broken" / "features.safetensors").unlink()
    refused(run("recommend", tmp_path / "broken", "-q"), "features.safetensors is missing")


def test_a_damaged_checkpoint(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "broken")
    path = tmp_path / "broken" / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    refused(run("recommend", tmp_path / "broken", "-q"), "adapter.safetensors is damaged")


def test_a_checkpoint_of_another_catalogue(run, trained, tables, tmp_path):
    write(tmp_path / "items.csv", ("item_id", "title"), [("101", "another"), ("102", "one")])
    result = run(
        *("evaluate", trained, "--items", tmp_path / "items.csv", "--interactions", tables / "interactions.csv"),
        *("--output", tmp_path / "report", "-q"),
    )
    code, _, err = result
    assert code == 2 and "error: " in err and not (tmp_path / "report").exists()


def test_no_checkpoint(run, tmp_path):
    refused(run("recommend", tmp_path / "nothing", "-q"), "no such checkpoint folder", "recommender train")


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


def test_a_request_that_is_none(run, trained):
    refused(run("recommend", trained, "--query", "x" * 501, "-q"), "query", "500")
    refused(run("recommend", trained, "--only", "103", "--k", 2, "-q"), "k is 2, but only 1")


def test_ids_that_look_like_smileys_stay_ids(run, tmp_path):
    write(tmp_path / "items.csv", ("item_id", "title"), [("shop:a:17", "a"), ("shop:a:17", "b")])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv", "--json")
    assert code == 2 and "shop:a:17" in json.dumps(json.loads(out))


def test_a_base_model_of_another_kind(run, recipe, tmp_path, text_folder):
    target = tmp_path / "model"
    settings = ("--set", f"base.llm={text_folder}", "--set", "lora.targets=[nothing]")
    refused(run("train", "--config", recipe, "--output", target, "-q", *settings), "base.llm")
    refused(run("train", "--config", recipe, "--output", target, "-q", *settings[2:]), "lora.targets: nothing")
    assert not target.exists()


def test_a_misspelt_key(run, recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.read_text().replace("rank_layers", "rank_layer"))
    refused(run("train", "--config", path, "--output", tmp_path / "model", "-q"), "'base.rank_layer'", "rank_layers")
    assert not (tmp_path / "model").exists()


def test_settings_that_are_none(run, recipe):
    refused(run("encode", "--config", recipe, "--set", "seed", "-q"), "expected KEY=VALUE")
    refused(run("encode", "--config", recipe, "--set", "prompt.noun=[films", "-q"), "--set: not a YAML value")
    refused(run("encode", "--config", recipe, "--set", "training.stages.9.epochs=1", "-q"), "there is no '9'")


def test_an_unknown_baseline(run, tables, tmp_path):
    result = run("evaluate", "popularty", "--interactions", tables / "interactions.csv", "--output", tmp_path / "r")
    refused(
        run(
            *("evaluate", "popularty", "--items", tables / "items.csv"),
            *("--interactions", tables / "interactions.csv", "--output", tmp_path / "r", "-q"),
        ),
        "'popularty'",
        "popularity",
    )
    assert result[0] == 2 and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("popularity", "popularity"), "popularity is given twice"),
        (("popularity", "--seeds", "0,x"), "seeds are '0,x'"),
        (("popularity", "--split", "time", "--test", "t.csv"), "targets are given"),
        (("popularity", "--split", "tiem"), "did you mean time"),
        (("popularity", "--split", "folds", "--folds", "1"), "folds is 1"),
        (("popularity", "--attribute", "genre"), "did you mean genres"),
    ],
)
def test_an_evaluation_that_is_none(run, tables, tmp_path, options, said):
    paths = ("--items", tables / "items.csv", "--interactions", tables / "interactions.csv")
    refused(run("evaluate", *options, *paths, "--output", tmp_path / "r", "-q"), said)
    assert not (tmp_path / "r").exists()


def test_an_unknown_option_is_explained(run):
    code, out, err = run("recommend", "--histroy", "1")
    assert code == 2 and out == "" and "--histroy" in err
