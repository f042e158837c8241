"""A model forgets people: it equals a training that never had them, and only what learned from them is trained again."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.errors import CheckpointError, ConfigError, DataError
from recommender.model.checkpoint import from_pretrained
from recommender.model.manifest import write_manifest
from recommender.pipelines import train
from recommender.pipelines.forget_in_model import forget_in_model
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.pipelines.left_out import NamedStore
from recommender.store.events import Event
from recommender.store.forgetting import forget, model_receipt
from recommender.store.master_keys import new_master_key
from recommender.store.receipts import verify_receipt
from recommender.store.store import Store
from recommender.training import user_shards
from recommender.training.user_shards import shard_of_users, shards_folder, with_moments
from tests.conftest import tiny_recipe, write_csv, write_tables

RANK = {"stage": "rank", "epochs": 2, "row_tokens": 64, "batch_tokens": 128, "learning_rate": 0.01}
SHARDS = 4
WAYS = ("average", "chain")


def tables(folder, catalogue, histories):
    """Write tables in which each user comes after the one before."""
    made = write_tables(folder, catalogue, histories)
    with open(made["interactions"]) as file:
        header, *rows = csv.reader(file)
    write_csv(folder / "interactions.csv", " ".join(header), [(u, i, int(t) + 100 * int(u[1:])) for u, i, t in rows])
    return made


@pytest.fixture(scope="module")
def recipe_of(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    """Make a recipe in shards over a table of its own."""

    def make(way="average", **forgetting) -> Config:
        cache = tmp_path_factory.getbasetemp() / "encodings"
        training = {"stages": [RANK], "forgetting": {"shards": SHARDS, "way": way, **forgetting}}
        raw = tiny_recipe(
            tables(tmp_path_factory.mktemp("tables"), catalogue, histories), llm_folder, text_folder, cache, training
        )
        return Config.parse(raw)

    return make


@pytest.fixture(scope="module")
def trained(recipe_of, tmp_path_factory):
    """By way: a recipe, and the checkpoint of everybody."""
    made = {}
    for way in WAYS:
        recipe, output = recipe_of(way), tmp_path_factory.mktemp(way) / "model"
        train.train(recipe, output)
        made[way] = recipe, output
    return made


@pytest.fixture
def copied(trained, tmp_path, recipe_of):
    """Return a copy of a way's checkpoint with its shards, over a table of its own."""

    def copy(way):
        recipe, source = trained[way]
        output, table = tmp_path / "model", tmp_path / "interactions.csv"
        shutil.copy(recipe.data.interactions, table)
        shutil.copytree(source, output)
        shutil.copytree(shards_folder(source), shards_folder(output))
        config = Config.load(output / "config.yaml").updated({"data.interactions": str(table)})
        (output / "config.yaml").write_text(config.to_yaml())
        manifest = json.loads((output / "checkpoint.json").read_text())
        write_manifest(output, {name: value for name, value in manifest.items() if name != "files"})
        return config, output, table

    return copy


def without(table, gone):
    with table.open() as file:
        rows = list(csv.reader(file))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *(row for row in rows[1:] if row[0] not in gone)])


def users_of(config):
    histories = train.load_histories(config, train.load_catalogue(config))
    return histories, shard_of_users(with_moments(config.training.forgetting, histories), histories)


def same_weights(one, other):
    first, second = load_file(one / "adapter.safetensors"), load_file(other / "adapter.safetensors")
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("way", WAYS)
def test_it_equals_a_training_that_never_had_them(copied, way, tmp_path):
    config, output, table = copied(way)
    histories, shard = users_of(config)
    touched = shard[len(histories) // 2]
    gone = [histories.user_ids[user] for user in np.flatnonzero(shard == touched)[:1]]
    before = {path.name: path.read_bytes() for path in shards_folder(output).iterdir()}
    without(table, gone)
    relearned = forget_in_model(output)
    never = tmp_path / "never"
    train.train(config, never)
    assert same_weights(output, never)
    assert from_pretrained(output).metrics["forgetting"] == from_pretrained(never).metrics["forgetting"]
    after = {path.name: path.read_bytes() for path in shards_folder(output).iterdir()}
    changed = {name for name in after if after[name] != before[name]}
    again = tuple(range(touched + 1, SHARDS + 1 if way == "chain" else touched + 2))
    assert relearned.shards == again and changed == {f"shard-{number}.safetensors" for number in again}
    assert relearned.users == len(histories) - len(gone) and relearned.before != relearned.after


def test_what_a_shard_learned_changes_the_model(trained, recipe_of, tmp_path):
    recipe, output = trained["average"]
    train.train(recipe.updated({"training.forgetting.scale": 1e-9}), tmp_path / "start")
    start, ends = load_file(tmp_path / "start" / "adapter.safetensors"), load_file(output / "adapter.safetensors")
    shards = [load_file(path) for path in sorted(shards_folder(output).iterdir())]
    _, shard = users_of(recipe)
    split = train.split_histories(recipe, train.load_catalogue(recipe))
    sizes = [sum(len(split.train.items[user]) for user in np.flatnonzero(shard == one)) for one in range(SHARDS)]
    name = "rows"
    mean = sum(size * part[name] for size, part in zip(sizes, shards, strict=True)) / sum(sizes)
    torch.testing.assert_close(ends[name], mean.half(), atol=2e-3, rtol=0)
    assert not torch.equal(start[name], ends[name])


def test_nothing_is_trained_where_nobody_is_gone_and_another_scale_needs_no_training(copied, tmp_path):
    config, output, _ = copied("average")
    same = tmp_path / "same"
    shutil.copytree(output, same)
    assert forget_in_model(output).shards == () and same_weights(output, same)
    result = train.train(config.updated({"training.forgetting.scale": 2.0}), output)
    assert result.shards == () and not same_weights(output, same)


def test_nobody_changes_shards_when_others_go_and_a_chain_goes_by_time(trained):
    for way in WAYS:
        config = Config.load(trained[way][1] / "config.yaml")
        histories, shard = users_of(config)
        kept = histories.chosen(np.arange(len(histories)) % 3 > 0)
        assert np.array_equal(
            shard_of_users(config.training.forgetting, kept), shard[np.arange(len(histories)) % 3 > 0]
        )
        assert set(shard) == set(range(SHARDS))
    first = np.array([times[0] for times in histories.times])
    assert all(first[shard == one].max() <= first[shard == one + 1].min() for one in range(SHARDS - 1))


def test_a_killed_forgetting_leaves_the_old_version_and_goes_on(copied, monkeypatch):
    config, output, table = copied("average")
    histories, shard = users_of(config)
    without(table, [histories.user_ids[user] for one in (0, 1) for user in np.flatnonzero(shard == one)[:1]])
    old, stages, calls = (output / "checkpoint.json").read_bytes(), user_shards.run_stages, []

    def killed(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return stages(*args, **kwargs)

    monkeypatch.setattr(user_shards, "run_stages", killed)
    with pytest.raises(KeyboardInterrupt):
        forget_in_model(output)
    assert (output / "checkpoint.json").read_bytes() == old
    monkeypatch.setattr(user_shards, "run_stages", stages)
    assert forget_in_model(output).shards == (2,)


def test_a_damaged_shard_is_trained_again(copied, caplog):
    _, output, _ = copied("average")
    path = shards_folder(output) / "shard-2.safetensors"
    whole = {name: value.clone() for name, value in load_file(path).items()}  # the file is mapped
    path.write_bytes(path.read_bytes()[:100])
    assert forget_in_model(output).shards == (2,) and "is damaged" in caplog.text
    again = load_file(path)
    assert again.keys() == whole.keys() and all(torch.equal(again[name], whole[name]) for name in whole)


def test_shards_are_readable_by_their_owner_only(trained):
    assert {path.stat().st_mode & 0o777 for path in shards_folder(trained["chain"][1]).iterdir()} == {0o600}


def test_a_store_says_who_is_gone_and_signs_for_it(copied, tmp_path):
    config, output, _ = copied("average")
    histories, shard = users_of(config)
    master, where = tmp_path / "master.keys", tmp_path / "store.db"
    new_master_key(master, "first")
    store = Store.open(where, master)
    gone, refuses = histories.user_ids[0], histories.user_ids[1]
    store.events.add([Event(id="e1", user=gone, item="1", kind="like")])
    forget(store, gone)
    store.consents.set(refuses, {"train": False})
    relearned = forget_in_model(output, store=NamedStore(str(where), str(master)))
    assert relearned.users == len(histories) - 2
    assert set(relearned.shards) == {int(shard[0]) + 1, int(shard[1]) + 1}
    receipt = model_receipt(store, relearned.told())
    statement = verify_receipt(receipt, store.audit.public)
    assert statement["without"] == [store.people.pseudonym(gone)]
    assert statement["model"]["after"] == relearned.after
    assert gone not in json.dumps(receipt)
    receipt["statement"]["model"]["users"] += 1
    with pytest.raises(DataError, match="not signed with this key"):
        verify_receipt(receipt, store.audit.public)
    store.let_go()


def test_the_command_gives_a_receipt_that_anybody_can_check(copied, tmp_path):
    config, output, _ = copied("average")
    master, where, receipt = tmp_path / "master.keys", tmp_path / "store.db", tmp_path / "receipt.json"
    new_master_key(master, "first")
    store = Store.open(where, master)
    forget(store, "u3", unknown_too=True)
    (tmp_path / "public.pem").write_text(store.public_key)
    store.let_go()
    options = ["--store", str(where), "--master-key", str(master)]
    told = CliRunner().invoke(app, ["forget", "model", str(output), "--output", str(receipt), *options, "--quiet"])
    assert told.exit_code == 0 and "1 of 4 shards" in told.output, told.output
    checked = CliRunner().invoke(app, ["forget", "check", str(receipt), "--key", str(tmp_path / "public.pem")])
    assert checked.exit_code == 0 and "goes on without people who were forgotten" in checked.output


def test_fused_baselines_are_counted_anew(copied, tmp_path):
    config, output, table = copied("average")
    fused = tmp_path / "fused" / "model"
    fuse_checkpoint(str(output), ["popularity"], fused)
    shutil.copytree(shards_folder(output), shards_folder(fused))
    histories, _ = users_of(config)
    without(table, histories.user_ids[:1])
    forget_in_model(fused)
    assert from_pretrained(fused).metrics["fused_with"]["users"] == len(histories) - 1


def test_a_model_of_one_piece_is_trained_again_as_a_whole_if_that_is_asked_for(recipe_of, tmp_path):
    recipe, output = recipe_of().updated({"training.forgetting": None}), tmp_path / "model"
    train.train(recipe, output)
    with pytest.raises(ConfigError, match="trained in one piece.*") as error:
        forget_in_model(output)
    assert "--whole" in str(error.value.hint)
    assert forget_in_model(output, whole=True).way == "whole"


def test_shipped_adapters_are_left_alone():
    with pytest.raises(CheckpointError, match="learned from none of your users"):
        forget_in_model("movielens-100k")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training.teacher": {"baseline": "sasrec"}}, "a teacher learns from all users"),
        ({"training.popularity": 0.5}, "popularity is counted over all users"),
        ({"encoders.collaborative_width": 4}, "collaborative vectors are computed from all users"),
        ({"training.privacy": {"epsilon": 8}}, "has no shards"),
        ({"training.stages": [RANK, {"stage": "explain"}]}, "the stage explain is not possible"),
        ({"training.forgetting.moments": [3.0, 1.0, 2.0]}, "in order of time"),
    ],
)
def test_what_learns_from_all_users_at_once_is_refused(recipe_of, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        recipe_of().updated(changes)


def test_a_chain_needs_times(recipe_of, tmp_path):
    recipe = recipe_of("chain").updated({"data.columns.timestamp": "when", "data.without_time": "file"})
    with pytest.raises(DataError, match="the interactions have no times"):
        train.train(recipe, tmp_path / "model")


def test_an_adapter_of_the_same_people_is_no_start(trained, recipe_of, tmp_path):
    _, output = trained["average"]
    recipe = Config.load(output / "config.yaml").updated({"base.adapter": str(output)})
    with pytest.raises(ConfigError, match="was trained on these interactions"):
        train.train(recipe, tmp_path / "model")
