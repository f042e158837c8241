"""Who takes part: names and folders are read, and what cannot be compared is refused before any model is loaded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.errors import CheckpointError, DataError
from recommender.model import checkpoint
from recommender.model.checkpoint import save_pretrained
from recommender.studies.entries import Entry, check_entries, parse_entries, parse_seeds


@pytest.fixture
def saved(make_checkpoint, config, tmp_path):
    """Save a tiny checkpoint under a name; returns its folder."""

    def make(name: str, **changes) -> str:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        save_pretrained(make_checkpoint(1, config.updated(changes)), tmp_path / name)
        return str(tmp_path / name)

    return make


# --- names


def test_baselines_folders_and_runs_of_one_recipe(tmp_path):
    for name in ("a", "b", "lr=0.1"):
        (tmp_path / name).mkdir()
    a, b, odd = (str(tmp_path / name) for name in ("a", "b", "lr=0.1"))
    assert parse_entries(["popularity", f"mine={a},{b}", odd]) == (
        Entry("popularity"),
        Entry("mine", (a, b)),
        Entry(odd, (odd,)),
    )
    assert parse_entries([f"alone={a}"]) == (Entry("alone", (a,)),)


def test_a_fusion_has_fixed_weights_or_a_gate(tmp_path):
    for name in ("a", "b", "a+ease@gate"):
        (tmp_path / name).mkdir()
    a, b, odd = (str(tmp_path / name) for name in ("a", "b", "a+ease@gate"))
    assert parse_entries([f"{a}+ease", f"{b}+ease@gate", odd]) == (
        Entry(f"{a}+ease", (a,), ("ease",)),
        Entry(f"{b}+ease@gate", (b,), ("ease",), gated=True),
        Entry(odd, (odd,)),
    )
    with pytest.raises(DataError, match="the baseline ease is given twice"):
        parse_entries([f"{a}+ease+ease@gate"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["popularity", "ease", "popularity"], "the model popularity is given twice"),
        (["ease=runs/a", "ease"], "the model ease is given twice"),
        (["x=runs/a,runs/a"], "the checkpoint runs/a is given twice"),
        (["x=runs/a", "y=runs/a/"], "the checkpoint runs/a is given twice"),
        (["x="], "'x=': expected NAME=FOLDER,FOLDER"),
        (["x=runs/a,"], "expected NAME=FOLDER,FOLDER"),
        (["=runs/a"], "expected NAME=FOLDER,FOLDER"),
        (["popularty"], "'popularty' is neither a checkpoint folder nor a baseline"),
    ],
)
def test_names_that_are_none_or_given_twice_are_refused(names, said):
    with pytest.raises(DataError, match=said) as caught:
        parse_entries(names)
    assert caught.value.hint


def test_seeds():
    assert parse_seeds("0") == (0,) and parse_seeds("3, 1,2") == (3, 1, 2)


@pytest.mark.parametrize("text", ["", "0,", "a", "1.5", "-1", "0 1", "1,1", "٣"])
def test_malformed_seeds_are_one_clear_line(text):
    with pytest.raises(DataError, match="seed") as caught:
        parse_seeds(text)
    assert caught.value.hint


# --- checkpoints


def test_runs_that_differ_by_their_seed_are_one_recipe(saved, catalogue):
    folders = [saved(f"s{seed}", seed=seed) for seed in (0, 1)]
    check_entries([Entry("mine", tuple(folders)), Entry("popularity")], catalogue, "leave-one-out")


@pytest.mark.parametrize("second", ["explain", "converse", "rank", "align"])
def test_what_only_writes_or_listens_may_have_learned_otherwise(saved, catalogue, second):
    def run(name: str, seed: int, steps: int) -> str:
        stages = [{"stage": "rank"}, {"stage": second, "max_steps": steps}]
        return saved(name, seed=seed, training__stages=stages)

    entry = Entry("mine", (run("one", 0, 1), run("other", 1, 2)))
    if second in ("explain", "converse"):
        check_entries([entry], catalogue, "leave-one-out")
    else:
        with pytest.raises(DataError, match=r"training.stages.1.max_steps differs"):
            check_entries([entry], catalogue, "leave-one-out")


def test_runs_of_two_recipes_or_of_one_seed_are_no_runs_of_one_recipe(saved, catalogue):
    one, same, other = saved("one"), saved("same"), saved("other", seed=1, lora__alpha=16)
    with pytest.raises(DataError, match="mine: .*one and .*other are not runs of one recipe: lora.lora_alpha differs"):
        check_entries([Entry("mine", (one, other))], catalogue, "leave-one-out")
    with pytest.raises(DataError, match="the seed of mine 0 is given twice"):
        check_entries([Entry("mine", (one, same))], catalogue, "leave-one-out")


def test_checkpoints_of_two_catalogues_are_not_compared(saved, catalogue, tmp_path):
    one, other = saved("one"), saved("other")
    manifest = Path(other) / "checkpoint.json"
    facts = json.loads(manifest.read_text())
    facts["catalogue"] |= {"fingerprint": "0" * 64, "items": 7}
    manifest.write_text(json.dumps(facts))
    with pytest.raises(DataError, match=r"one \(20 items\) and .*other \(7 items\) were trained on different catalog"):
        check_entries([Entry("a", (one,)), Entry("b", (other,))], catalogue, "leave-one-out")
    with pytest.raises(CheckpointError, match="other: made for another catalogue"):
        check_entries([Entry("b", (other,))], catalogue, "leave-one-out")
    with pytest.raises(CheckpointError, match="one: made for another catalogue"):
        check_entries([Entry("a", (one,))], Catalogue([Item("1", "else")]), "leave-one-out")
    tagged = Catalogue(replace(item, attributes=item.attributes | {"tags": ("loud",)}) for item in catalogue)
    with pytest.raises(CheckpointError, match="ids of its 20 items are the same, and new is 'tags'"):
        check_entries([Entry("a", (one,))], tagged, "leave-one-out")


def test_folds_are_for_baselines_only(saved, catalogue):
    check_entries([Entry("popularity")], catalogue, "folds")
    with pytest.raises(DataError, match="one: folds fit a model anew"):
        check_entries([Entry("one", (saved("one"),))], catalogue, "folds")


def test_a_checkpoint_takes_part_in_a_split_by_time_only_if_it_says_so(saved, catalogue):
    folder = saved("one")
    entries = [Entry("one", (folder,))]
    with pytest.raises(DataError, match="kept each user's last two interactions out.*nothing says .* before 875000000"):
        check_entries(entries, catalogue, "time", 875000000.0)
    checkpoint.record(folder, "trained_before", 875000001)
    with pytest.raises(DataError, match="nothing says"):
        check_entries(entries, catalogue, "time", 875000000.0)
    checkpoint.record(folder, "trained_before", True)
    with pytest.raises(DataError, match="nothing says"):
        check_entries(entries, catalogue, "time", 875000000.0)
    checkpoint.record(folder, "trained_before", 875000000)
    check_entries(entries, catalogue, "time", 875000000.0)


def test_a_checkpoint_that_has_seen_the_targets_takes_part_only_if_others_are_given(saved, catalogue):
    entries = [Entry("all", (saved("all", training__keep_test_out=False),))]
    with pytest.raises(DataError, match="trained on the targets of leave-one-out"):
        check_entries(entries, catalogue, "leave-one-out")
    check_entries(entries, catalogue, "given")


def test_a_folder_that_is_no_checkpoint_or_not_whole_is_named(saved, catalogue, tmp_path):
    folder = saved("one")
    shutil.copytree(folder, tmp_path / "cut")
    (tmp_path / "cut" / "features.safetensors").unlink()
    for name, said in (("nowhere", "no such checkpoint folder"), ("cut", "features.safetensors is missing")):
        with pytest.raises(CheckpointError, match=said):
            check_entries([Entry(name, (str(tmp_path / name),))], catalogue, "leave-one-out")
