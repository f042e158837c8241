"""What was typed: overrides of a config, lists, pairs, options of vLLM."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.cli import inputs
from recommender.errors import DataError, RecommenderError
from recommender.model.checkpoint import resolve
from recommender.model.manifest import shipped_checkpoints
from tests.cli.conftest import refused


def test_settings_that_are_none(run, recipe):
    refused(run("encode", "--config", recipe, "--set", "seed", "-q"), "expected KEY=VALUE")
    refused(run("encode", "--config", recipe, "--set", "prompt.noun=[films", "-q"), "--set: not a YAML value")
    refused(run("encode", "--config", recipe, "--set", "training.stages.9.epochs=1", "-q"), "there is no '9'")


def test_a_config_with_overrides(recipe):
    config = inputs.read_config(recipe, ["prompt.noun=books", "decoding.beam=7", "encoders.text=null"])
    assert (config.prompt.noun, config.decoding.beam, config.encoders.text) == ("books", 7, None)
    assert inputs.read_config(recipe, None).prompt.noun == "films"


def test_the_config_of_a_file_of_a_checkpoint_and_of_nothing(recipe, trained, tmp_path):
    assert inputs.config_of(recipe, [str(tmp_path)]).prompt.noun == "films"
    assert inputs.config_of(None, [str(trained)]).prompt.noun == "films"
    assert inputs.config_of(None, []).prompt.noun == inputs.config_of(None, [str(tmp_path)]).prompt.noun == "items"
    assert inputs.config_of(None, ["movielens-100k"]).data.items == "movielens-100k"


def test_the_catalogue_that_a_checkpoint_names(trained):
    config, catalogue = inputs.catalogue_of(str(trained))
    assert config.prompt.noun == "films" and len(catalogue) == 20


@given(st.lists(st.text("ab1", min_size=1), max_size=5))
def test_lists_with_commas(parts):
    assert inputs.split_list(" , ".join(parts)) == tuple(parts)
    assert inputs.split_list(",".join([*parts, "", " "])) == tuple(parts)


@pytest.mark.parametrize("text", ["", "1,x", "0", "-1", "1.5", ","])
def test_numbers_that_are_none(text):
    with pytest.raises(RecommenderError, match="--beams") as error:
        inputs.whole_numbers("--beams", text)
    assert "--beams 10,50" in str(error.value.hint)


def test_numbers():
    assert inputs.whole_numbers("--beams", "10, 50,") == [10, 50]


def test_values_by_name():
    assert inputs.values_by_name("--filter", ["a=1", "b=x=y", " a = 2"]) == {"a": ("1", "2"), "b": ("x=y",)}
    assert inputs.values_by_name("--filter", None) == {}
    with pytest.raises(RecommenderError, match="expected NAME=VALUE"):
        inputs.values_by_name("--filter", ["genres"])


def test_options_of_vllm_need_vllm():
    options = inputs.vllm_options("vllm", "--dtype=bfloat16 --x 'a b'", rank_url="http://there", write_url=None)
    assert options == {"rank_url": "http://there", "flags": ("--dtype=bfloat16", "--x", "a b")}
    assert inputs.vllm_options("embedded", "", rank_url=None) == {}
    with pytest.raises(RecommenderError, match="embedded has no write_url") as error:
        inputs.vllm_options("embedded", "", write_url="http://there")
    assert error.value.hint == "add --engine vllm"


def test_a_step_is_told_when_it_begins_and_when_it_ends():
    told = []
    with inputs.step(lambda *now: told.append(now), "load"):
        assert told == [("load", 0, 1)]
    assert told == [("load", 0, 1), ("load", 1, 1)]


def test_a_step_that_fails_does_not_say_it_ended():
    told = []
    with pytest.raises(ValueError), inputs.step(lambda *now: told.append(now), "load"):
        raise ValueError
    assert told == [("load", 0, 1)]


def test_a_model_is_loaded_with_progress_and_its_feedback(trained, tmp_path):
    told = []
    engine = inputs.open_model(str(trained), None, lambda *now: told.append(now), tmp_path / "feedback.jsonl")
    assert len(engine.catalogue) == 20 and told[0] == ("load tiny", 0, 1) and told[-1] == ("load tiny", 1, 1)
    histories = inputs.sampled_histories(engine, 5)
    assert len(histories) == 5 and all(len(items) for items in histories)
    assert len(inputs.sampled_histories(engine, 1000)) == 12


def test_threads(monkeypatch):
    numbers = []
    monkeypatch.setattr("torch.set_num_threads", numbers.append)
    inputs.use_threads(None)
    inputs.use_threads(3)
    assert numbers == [3]


def test_shipped_checkpoints_are_found_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = shipped_checkpoints()
    assert {"movielens-100k", "movielens-1m"} <= set(shipped)
    for name, folder in shipped.items():
        assert resolve(name) == resolve(f"adapters/{name}") == folder and (folder / "checkpoint.json").is_file()
    assert resolve(tmp_path) == tmp_path
    assert resolve("other/movielens-100k") == Path("other/movielens-100k")
    (tmp_path / "movielens-100k").mkdir()
    assert resolve("movielens-100k") == Path("movielens-100k")  # what is there comes first


@pytest.mark.parametrize("name", ["movilens-100k", "adapters/movielens100k", "movielens"])
def test_a_misspelt_checkpoint_is_answered_with_the_shipped_ones(run, name):
    refused(
        run("recommend", name, "-q"),
        f"{name}: no such checkpoint folder",
        "did you mean movielens-1",
        "shipped are movielens-100k, movielens-1m",
        "recommender train",
    )


def test_numbers_by_name():
    assert inputs.numbers_by_name("--boost", ["50=2.5", "181=-1"]) == {"50": 2.5, "181": -1.0}
    assert inputs.numbers_by_name("--boost", None) == {}
    with pytest.raises(RecommenderError, match="--boost 50=much: 'much' is not a number"):
        inputs.numbers_by_name("--boost", ["50=much"])
    with pytest.raises(RecommenderError, match="expected ITEM_ID=NATS"):
        inputs.numbers_by_name("--boost", ["50"])


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        (None, ()),
        ([], ()),
        ("", ()),
        (["50,181", " 258 "], ("50", "181", "258")),
        (['"a, b",c', "d"], ("a, b", "c", "d")),
        (['50, "say ""hi"""'], ("50", 'say "hi"')),
        ('5" disc,x', ('5" disc', "x")),
        ('"",a', ("a",)),
        ("x=y,[1]", ("x=y", "[1]")),
    ],
)
def test_lists_are_lines_of_csv_and_may_be_repeated(texts, parts):
    assert inputs.split_list(texts) == parts


@pytest.mark.parametrize("text", ['"a, b', '"a"b,c', "a\nb"])
def test_a_quote_that_does_not_close_is_named(text):
    with pytest.raises(RecommenderError, match="--history: cannot be read as a list with commas") as error:
        inputs.split_list(["50", text], "--history")
    assert "double quotes" in error.value.hint


def test_a_boosted_id_may_hold_the_sign_and_stands_once():
    assert inputs.numbers_by_name("--boost", ["x=y=2.5", "a, b=-1"]) == {"x=y": 2.5, "a, b": -1.0}
    with pytest.raises(RecommenderError, match="50 is given twice"):
        inputs.numbers_by_name("--boost", ["50=1", "50=2"])


_SEVERAL = """
import functools, sys
import typer.main
from recommender.cli import main
typer.main.get_command = functools.cache(typer.main.get_command)  # once for all of them
for arguments in {commands!r}:
    sys.argv = ["recommender", *arguments]
    try:
        main()
    except SystemExit as end:
        print(end.code, *arguments, sep="|")
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""


def test_what_is_missing_is_said_before_anything_heavy_is_imported(tmp_path):
    """Importing what loads a model takes 8 seconds of a processor."""
    commands = [
        ["recommend", "nothing", "--history", "1"],
        ["explain", "nothing", "--item", "1"],
        ["chat", "runs/nothing", "-m", "hello"],
        ["serve", "nothing"],
        ["serve", "nothing", "--engine", "vllm"],
        ["batch", "nothing", "--input", "in.jsonl", "--output", "out.jsonl"],
        ["export", "nothing", "out", "--to", "vllm"],
        ["extend", "nothing", "--items", "items.csv", "--output", "out"],
        ["fuse", "nothing", "ease-decay", "--output", "out"],
        ["evaluate", "runs/nothing", "popularity", "--output", "out"],
        ["evaluate", "nothing", "--output", "out"],
        ["evaluate", "mine=runs/nothing,runs/none", "--output", "out"],
        ["evaluate", "runs/nothing+ease-decay", "--output", "out"],
        ["study", "queries", "nothing", "--output", "out"],
        *(["justifications", part, "nothing"] for part in ("tune", "companions", "evaluate", "plant", "dialogues")),
        ["justifications", "train", "nothing", "--output", "out"],
        *(["bench", part, "nothing"] for part in ("train", "serve", "replies", "engines")),
        ["feedback", "nothing", "wrong", "--item", "1", "--file", "feedback.jsonl"],
        ["replay", "trace.json", "--model", "nothing"],
        ["recommend", str(tmp_path), "--history", "1"],
        ["train", "--config", "nothing.yaml", "--output", "out"],
        ["train", "--config", "adapter.yaml", "--output", "out"],
        ["encode", "--config", "nothing.yaml"],
        ["tokenize", "--config", "nothing.yaml"],
        ["study", "signal", "--config", "nothing.yaml"],
        ["study", "ablation", "--config", "nothing.yaml", "--output", "out"],
        ["study", "cold", "--config", "nothing.yaml", "--output", "out"],
    ]
    (tmp_path / "adapter.yaml").write_text("base: {adapter: runs/nothing}")
    code = _SEVERAL.format(commands=commands)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert [line.partition("|")[0] for line in ran.stdout.splitlines()] == ["2"] * len(commands), ran.stdout
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(commands) and all("noth" in error or "no checkpoint.json" in error for error in errors)


def test_moments():
    assert inputs.moment_of("1970-01-02") == 86400.0 == inputs.moment_of("86400")
    assert inputs.moment_of("1970-01-02T01:00:00+01:00") == 86400.0
    for wrong in ("yesterday", "nan", "inf"):
        with pytest.raises(DataError, match=f"--since is '{wrong}'"):
            inputs.moment_of(wrong)


def test_percents_are_read_once_each_and_others_are_one_line():
    assert inputs.percents("--shares", "5, 20,100,5") == [5, 20, 100]
    for text in ("", "5,x", "0,5", "101", "nan", "-1"):
        with pytest.raises(DataError, match="expected percents"):
            inputs.percents("--shares", text)
