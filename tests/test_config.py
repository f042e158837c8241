"""The configuration: what is wrong is named by its key and in one line, and what is right survives being written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender import adapters
from recommender.config import Config
from recommender.errors import ConfigError

SHIPPED = sorted(Path(adapters.__file__).parent.glob("*.yaml"))


def refused(raw: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        Config.parse(raw, source="mine.yaml")
    assert error.value.message.startswith("mine.yaml: ") and "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    ("raw", "key", "meant"),
    [
        ({"sed": 1}, "sed", "seed"),
        ({"trainig": {}}, "trainig", "training"),
        ({"base": {"lm": "x"}}, "base.lm", "llm"),
        ({"data": {"columns": {"itemid": "asin"}}}, "data.columns.itemid", "item_id"),
        ({"training": {"keep_tests_out": False}}, "training.keep_tests_out", "keep_test_out"),
        ({"beam": 3}, "beam", "decoding.beam"),
        (
            {"training": {"stages": [{"stage": "rank"}, {"stage": "rank", "epoch": 2}]}},
            "training.stages.1.epoch",
            "epochs",
        ),
    ],
)
def test_a_misspelt_key_suggests_the_right_one(raw, key, meant):
    error = refused(raw)
    assert f"unknown key {key!r}" in error.message
    assert error.hint is not None and error.hint.startswith(f"did you mean {meant}")


def test_a_key_like_no_other_gets_no_suggestion():
    assert refused({"zzzzqq": 1}).hint is None


def test_every_problem_stands_in_the_one_line():
    error = refused({"sed": 1, "base": {"rank_layers": 0}, "decoding": {"bean": 3}})
    for part in ("unknown key 'sed'", "base.rank_layers: ", "unknown key 'decoding.bean'"):
        assert part in error.message
    assert error.hint is not None and "seed" in error.hint and "beam" in error.hint


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"seed": "many"}, "seed"),
        ({"encoders": 3}, "encoders"),
        ({"lora": {"r": 1.5}}, "lora.r"),
        ({"lora": {"target_modules": "q_proj"}}, "lora.target_modules"),
        ({"base": {"dtype": "float8"}}, "base.dtype"),
        ({"prompt": {"history": 0}}, "prompt.history"),
        ({"data": {"columns": {"title": None}}}, "data.columns.title"),
        ({"semantic_ids": {"weights": {"smell": 1}}}, "semantic_ids.weights.smell"),
        ({"training": {"stages": [{"stage": "rank"}, {"stage": "dance"}]}}, "training.stages.1.stage"),
        ({"training": {"stages": [{"epochs": 2}]}}, "training.stages.0.stage"),
        ({"training": {"stages": {"stage": "rank"}}}, "training.stages"),
    ],
)
def test_a_value_of_the_wrong_kind_names_its_key(raw, key):
    assert f" {key}" in refused(raw).message


@pytest.mark.parametrize(("history", "titled", "fine"), [(3, 3, True), (1, 0, True), (3, 4, False), (2, 3, False)])
def test_no_more_items_are_spelled_out_than_the_prompt_holds(history, titled, fine):
    raw = {"prompt": {"history": history, "titled": titled}}
    if fine:
        assert Config.parse(raw).prompt.titled == titled
    else:
        assert "prompt.titled must not exceed prompt.history" in refused(raw).message


def test_what_files_say_is_read_and_the_rest_is_default(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 7\nprompt:\n  noun: Bücher\nencoders:\n  audio: null\n", encoding="utf-8")
    config = Config.load(path)
    assert (config.seed, config.prompt.noun, config.encoders.audio) == (7, "Bücher", None)
    assert config.prompt.history == Config().prompt.history and config.encoders.image == Config().encoders.image
    path.write_text("# nothing yet\n")
    assert Config.load(str(path)) == Config()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: [1", "not valid YAML"),
        (b"seed: 1\n base: 2", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"seed: 2020-13-45", "not valid YAML"),
        (b"- seed\n- 1\n", "expected a mapping of keys to values, found list"),
        (b"recommend films", "expected a mapping of keys to values, found str"),
        (b"sed: 1", "unknown key 'sed'"),
        (b"1: 2", "keys should be strings"),
    ],
)
def test_a_file_that_is_no_config_is_named_in_one_line(tmp_path, content, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        Config.load(path)
    assert error.value.message.startswith(f"{path}: ") and said in error.value.message
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "reason"), [("nowhere.yaml", "No such file"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, reason):
    with pytest.raises(ConfigError, match=f"cannot be read \\({reason}") as error:
        Config.load(tmp_path / name)
    assert str(tmp_path / name) in error.value.message and error.value.hint == "check the path of --config"


def test_dotted_keys_replace_values_and_leave_the_rest():
    config = Config.parse({"seed": 3, "training": {"stages": [{"stage": "align"}, {"stage": "rank", "patience": 2}]}})
    changed = config.updated(
        {"decoding.beam": 20, "training.stages.1.epochs": 4, "encoders.audio": None, "semantic_ids.weights.image": 2}
    )
    assert changed.decoding.beam == 20 and changed.encoders.audio is None
    assert changed.semantic_ids.weights == {"image": 2.0}
    align, rank = changed.training.stages
    assert align == config.training.stages[0]
    assert rank == config.training.stages[1].model_copy(update={"epochs": 4.0})
    assert changed.seed == 3 and config.decoding.beam == 50 and config.training.stages[1].epochs == 1
    whole = config.updated({"training.stages": [{"stage": "explain"}]})
    assert [stage.stage for stage in whole.training.stages] == ["explain"]


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"training.teacher.baseline": "wearec"}, '"training.teacher={baseline: wearec}"'),
        (
            {"seed": 1, "training.teacher.baseline": "wearec", "training.teacher.weight": 0.5},
            '"training.teacher={baseline: wearec, weight: 0.5}"',
        ),
        ({"data.facts.by": "item_id"}, '"data.facts={by: item_id, table: ...}"'),
        ({"encoders.collaborative.vectors": "w.npz"}, '"encoders.collaborative={vectors: w.npz}"'),
    ],
)
def test_of_a_section_that_is_null_the_hint_is_how_to_give_it_whole(changes, hint):
    with pytest.raises(ConfigError, match=r"--set: .* there is no section .* here, it is null") as error:
        Config().updated(changes, "--set")
    assert error.value.hint == f"give it as a whole: {hint}"
    if "..." not in hint:
        key, value = hint.strip('"').split("=")
        Config().updated({key: yaml.safe_load(value)})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("training.stages.1.epochs", "there is no '1' here; there are 1 entries"),
        ("training.stages.-1.epochs", "there is no '-1' here"),
        ("training.stages.first", "there is no 'first' here"),
        ("training.stages.²", "there is no '²' here"),
        ("training.stages.0.epochs.x", "there is no 'x' here; it has no keys of its own"),
        ("seed.x", "there is no 'x' here; it has no keys of its own"),
        ("encoders.cache.folder", "there is no 'folder' here; it has no keys of its own"),
    ],
)
def test_a_dotted_key_that_leads_nowhere_is_named(key, said):
    with pytest.raises(ConfigError) as error:
        Config().updated({key: 1})
    assert error.value.message.startswith(f"options: {key}: ") and said in error.value.message and error.value.hint


@pytest.mark.parametrize(
    ("change", "said", "meant"),
    [
        ({"decoding.bean": 3}, "unknown key 'decoding.bean'", "beam"),
        ({"decodin.beam": 3}, "unknown key 'decodin'", "decoding"),
        ({"training.stages.0.epoch": 3}, "unknown key 'training.stages.0.epoch'", "epochs"),
        ({"prompt.titled": 101}, "prompt.titled must not exceed prompt.history", ""),
        ({"training.stages.0.epochs": "long"}, "training.stages.0.epochs: ", ""),
    ],
)
def test_options_are_checked_like_files(change, said, meant):
    with pytest.raises(ConfigError, match="^--set: ") as error:
        Config().updated(change, source="--set")
    assert said in error.value.message and meant in (error.value.hint or "")


@settings(max_examples=25, deadline=None)
@given(
    st.integers(-5, 10**9),
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20),
    st.floats(1e-9, 10),
    st.dictionaries(st.sampled_from(["text", "image", "audio", "collaborative"]), st.floats(-3, 3)),
    st.lists(st.sampled_from(["align", "rank", "explain"]), max_size=4),
    st.none() | st.floats(-9, 9),
)
def test_what_is_written_as_yaml_is_read_again(tmp_path_factory, seed, noun, rate, weights, stages, minimum):
    config = Config.parse(
        {
            "seed": seed,
            "data": {"minimum_rating": minimum, "columns": {"title": noun}},
            "prompt": {"noun": noun},
            "semantic_ids": {"weights": weights},
            "training": {"stages": [{"stage": stage, "learning_rate": rate} for stage in stages]},
        }
    )
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8", newline="")
    assert Config.load(path) == config


def test_the_yaml_spells_every_key_out_in_the_order_of_definition():
    text = Config().to_yaml()
    sections = [line[:-1] for line in text.splitlines() if line[:1] != " " and line.endswith(":")]
    assert sections == [name for name in Config.model_fields if name != "seed"]
    assert f"  rank_layers: {Config().base.rank_layers}\n" in text and "  cache: null\n" in text


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_recipe_loads(path):
    config = Config.load(path)
    assert config.training.stages and config != Config()


def test_there_is_a_recipe_to_ship():
    assert "movielens-100k.yaml" in [path.name for path in SHIPPED]


@pytest.mark.parametrize("key", ["seed", "decoding"])
def test_a_config_cannot_be_changed_in_place(key):
    with pytest.raises(ValueError, match="frozen"):
        setattr(Config(), key, 1)


def test_keys_of_earlier_versions_are_read_and_a_note_says_so(caplog):
    old = {"decoding": {"wish_nats": 0.5}, "lora": {"rank": 3, "alpha": 6, "dropout": 0, "targets": ["q_proj"]}}
    stage = {"stage": "rank", "warmup": 0.1, "clip": 2, "newcomer_share": 0.2, "wish_share": 0.3}
    config = Config.parse(old | {"training": {"stages": [stage]}}, "old.yaml")
    assert config.decoding.query_weight == 0.5
    assert (config.lora.r, config.lora.lora_alpha, config.lora.lora_dropout) == (3, 6, 0)
    assert config.lora.target_modules == ("q_proj",)
    first = config.training.stages[0]
    assert (first.warmup_ratio, first.max_grad_norm, first.cold_item_dropout, first.query_share) == (0.1, 2, 0.2, 0.3)
    (note,) = [record.getMessage() for record in caplog.records]
    assert note.startswith("old.yaml: ") and "decoding.wish_nats is now decoding.query_weight" in note
    caplog.clear()
    assert Config.parse(config.model_dump(mode="json")) == config and not caplog.records


def test_a_key_given_by_both_of_its_names_is_refused():
    error = refused({"lora": {"rank": 3, "r": 4}})
    assert "lora.rank is the former name of r" in error.message


def test_an_old_key_overrides_as_the_new_one_does():
    config = Config().updated({"training.stages.0.clip": 3, "decoding.wish_nats": 2})
    assert config.training.stages[0].max_grad_norm == 3 and config.decoding.query_weight == 2


@pytest.mark.parametrize(
    ("former", "bits"),
    [({"int8": True}, 8), ({"int8": False}, 16), ({"int8": False, "bits": 4}, 4), ({"int8": True, "bits": 8}, 8)],
)
def test_a_config_of_eight_bits_of_an_earlier_version_is_read(former, bits, caplog):
    config = Config.parse({"decoding": former})
    assert config.decoding.bits == bits and "int8" not in config.to_yaml()
    assert ("is now decoding.bits: 8" in caplog.text) == former["int8"]
    assert Config().updated({f"decoding.{key}": value for key, value in former.items()}).decoding.bits == bits


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bits": 5}, "decoding.bits"),
        ({"int8": True, "bits": 4}, "int8: true and bits: 4 contradict each other"),
        ({"int8": False, "bits": 8}, "int8: false and bits: 8 contradict each other"),
        ({"int8": "yes"}, "int8 was true or false"),
    ],
)
def test_other_numbers_of_bits_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Config.parse({"decoding": wrong})
