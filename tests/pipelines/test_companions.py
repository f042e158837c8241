"""Counts of what many had together: written by training, added to a checkpoint that has none, kept when it grows."""

from __future__ import annotations

import json
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.engine import Recommender, Request
from recommender.errors import CheckpointError, DataError
from recommender.justify.companions import COMPANIONS, Companions
from recommender.model.checkpoint import from_pretrained
from recommender.model.manifest import read_manifest, write_manifest
from recommender.pipelines import train
from recommender.pipelines.companions import add_companions
from recommender.pipelines.extend import extend
from tests.conftest import ITEMS, write_csv, write_tables

#: seven had 0, 3 and 6, nine others 1 and 4; the last two of each are kept out
HISTORIES = [*([0, 3, 6, 9, 12] for _ in range(7)), *([1, 4, 7, 10] for _ in range(9))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue, llm_folder, text_folder) -> Path:
    folder = tmp_path_factory.mktemp("counting")
    data = write_tables(folder, catalogue, HISTORIES)
    rows = [
        (f"u{u}", catalogue[item].item_id, time, 5 - time % 2)
        for u, items in enumerate(HISTORIES)
        for time, item in enumerate(items)
    ]
    rows += [("low", catalogue[item].item_id, 0, item % 3 + 1) for item in range(6)]
    write_csv(folder / "interactions.csv", "user_id item_id timestamp rating", rows)
    raw = {
        "data": data | {"minimum_rating": 4},
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 1},
        "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 4},
        "lora": {"r": 2, "lora_alpha": 4},
        "prompt": {"history": 6, "titled": 0, "noun": "films"},
        "training": {"stages": [{"stage": "rank", "max_steps": 1, "batch_tokens": 128, "row_tokens": 64}]},
    }
    train.train(Config.parse(raw).updated({"encoders.cache": str(folder / "encodings")}), folder / "model")
    return folder / "model"


@pytest.fixture
def bare(trained, tmp_path) -> Path:
    """A checkpoint from before there were counts."""
    folder = shutil.copytree(trained, tmp_path / "bare")
    (folder / COMPANIONS).unlink()
    write_manifest(folder, json.loads((folder / "checkpoint.json").read_text()))
    return folder


def pairs_of(companions):
    everything = range(len(companions))
    return {(item, *pair) for item in everything for pair in companions.among(item, everything)}


def test_training_counts_what_it_saw_and_nothing_that_was_kept_out(trained):
    companions = Companions.load(trained, ITEMS)
    seven = {(a, b, 7) for a in (0, 3, 6) for b in (0, 3, 6) if a != b}
    assert pairs_of(companions) == seven | {(1, 4, 9), (4, 1, 9)}
    assert companions.liked and from_pretrained(trained).companions.liked
    assert COMPANIONS in read_manifest(trained)["files"]


def test_an_engine_says_so(trained):
    model = Recommender.from_pretrained(trained)
    together, found = ("100", "103", "106"), 0
    for history in permutations(together, 2):
        (only,) = model.answer(Request(history=history, k=1, only=set(together) - set(history))).items
        influences = [influence["item_id"] for influence in only.evidence["influences"]]
        counted = [{"item_id": item_id, "people": 7} for item_id in influences]
        assert only.evidence.get("companions", []) == counted
        found += len(counted)
    assert found
    sentence = 'You loved "The red story", so try "The blue story", a drama.'
    assert model.style.liked and model.checker.check(sentence, *told(model)).ok


def told(model):
    """Evidence on the first two items, and what is recommended."""
    from recommender.justify import Evidence, Influence

    names = [item.title for item in model.catalogue]
    first, second = names.index("The red story"), names.index("The blue story")
    return Evidence(second, (Influence(first, 1.0),)), "films"


def test_what_is_added_later_is_what_training_writes(trained, bare, tmp_path):
    before = {path.name: path.read_bytes() for path in bare.iterdir() if path.name != "checkpoint.json"}
    counted = add_companions(bare, tmp_path / "copy")
    assert (tmp_path / "copy" / COMPANIONS).read_bytes() == (trained / COMPANIONS).read_bytes()
    assert not (bare / COMPANIONS).exists() and len(counted) == ITEMS
    add_companions(bare)
    assert (bare / COMPANIONS).read_bytes() == (trained / COMPANIONS).read_bytes()
    assert before == {name: (bare / name).read_bytes() for name in before}
    assert Recommender.from_pretrained(bare).setup.companions.liked


def test_a_checkpoint_without_counts_has_none_and_serves(bare):
    model = Recommender.from_pretrained(bare)
    (item,) = model.answer(Request(history=("100",), k=1)).items
    assert model.setup.companions is None and item.justification and "companions" not in item.evidence


def test_other_tables_than_those_of_the_training_are_refused(bare, tmp_path):
    config = Config.load(bare / "config.yaml")
    rows = Path(config.data.interactions).read_text().splitlines()
    for name, lines in (("interactions", rows[:-8]), ("items", Path(config.data.items).read_text().splitlines()[:-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    write(bare, config.updated({"data.interactions": str(tmp_path / "interactions.csv")}))
    with pytest.raises(DataError, match="other interactions"):
        add_companions(bare)
    write(bare, config.updated({"data.items": str(tmp_path / "items.csv")}))
    with pytest.raises(CheckpointError, match="another catalogue"):
        add_companions(bare)
    assert not (bare / COMPANIONS).exists()


def write(folder: Path, config: Config) -> None:
    (folder / "config.yaml").write_text(config.to_yaml())
    write_manifest(folder, json.loads((folder / "checkpoint.json").read_text()))


def test_what_others_did_moves_with_the_items(trained, catalogue):
    table = Catalogue([Item("new", "The red war", attributes={"genres": ("drama",), "year": ("1980",)}), *catalogue])
    extended = extend(from_pretrained(trained), table, "items.csv")
    moved = {(item + 1, other + 1, people) for item, other, people in pairs_of(from_pretrained(trained).companions)}
    assert pairs_of(extended.companions) == moved


def test_a_count_that_was_tampered_with_is_named(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "tampered")
    (folder / COMPANIONS).write_bytes(b"0" * 64)
    with pytest.raises(CheckpointError, match=COMPANIONS):
        from_pretrained(folder)
    write_manifest(folder, json.loads((folder / "checkpoint.json").read_text()))
    with pytest.raises(CheckpointError, match=COMPANIONS):
        from_pretrained(folder)


def test_counts_are_of_all_users_that_the_config_takes(trained):
    config = Config.load(trained / "config.yaml").updated({"data.users": 8})
    prepared = train.prepare(config)
    sampled = train.companions_in(prepared.split.train, prepared.catalogue)
    assert len(prepared.split.train.items) == 8 and int(np.max(sampled.counts, initial=0)) < 9
