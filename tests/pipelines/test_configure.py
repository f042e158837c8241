"""Settings that a trained checkpoint's weights do not depend on: changed in it or in a copy, everything else as it was."""

from __future__ import annotations

import pytest

from recommender.errors import CheckpointError, ConfigError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.pipelines.configure import configure


@pytest.fixture
def saved(make_checkpoint, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "model")
    return tmp_path / "model"


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_copy_has_the_setting_and_the_same_weights(saved, catalogue, tmp_path):
    before = _files(saved)
    configure(saved, {"prompt.titled": 1, "decoding.beam": 7}, tmp_path / "copy")
    assert _files(saved) == before
    copy = from_pretrained(tmp_path / "copy", catalogue)
    assert (copy.config.prompt.titled, copy.config.decoding.beam) == (1, 7)
    after = _files(tmp_path / "copy")
    assert {name for name in before if before[name] != after[name]} <= {"config.yaml", "checkpoint.json", "README.md"}


def test_in_place_it_is_read_again_with_the_setting(saved, catalogue):
    configure(saved, {"prompt.titled_from": 6})
    checkpoint = from_pretrained(saved, catalogue)
    titled = checkpoint.config.prompt.titled
    short, long = [1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]
    assert titled > 0
    bare = [len(checkpoint.builder.prompt(history, titled=0)) for history in (short, long)]
    assert len(checkpoint.builder.prompt(short)) == bare[0]
    assert len(checkpoint.builder.prompt(long)) > bare[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nothing is to be changed"),
        ({"lora.r": 3}, "lora.r: the weights were trained with"),
        ({"prompt.noun": "songs"}, "prompt.noun: the weights were trained with"),
        ({"decoding.beam": 50}, "nothing is to be changed"),
        ({"prompt.titled": 999}, "prompt.titled must not exceed prompt.history"),
        ({"prompt.title": 1}, "prompt.title"),
    ],
)
def test_what_cannot_be_changed_changes_nothing(saved, changes, said):
    before = _files(saved)
    with pytest.raises(ConfigError) as error:
        configure(saved, changes)
    assert said in error.value.message
    assert _files(saved) == before


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nothing"):
        configure(tmp_path / "nothing", {"decoding.beam": 7})


def test_a_former_name_is_read_and_told_by_the_present_one(saved, catalogue):
    assert configure(saved, {"decoding.wish_nats": 0.25}) == {"decoding.query_weight": 0.25}
    assert from_pretrained(saved, catalogue).config.decoding.query_weight == 0.25


def test_what_ships_is_not_changed_in_place(monkeypatch, saved):
    monkeypatch.setattr("recommender.pipelines.configure.resolve", lambda source: saved)
    before = _files(saved)
    with pytest.raises(ConfigError, match="ships with the package"):
        configure("movielens-100k", {"decoding.beam": 7})
    assert _files(saved) == before
