"""Histories with interaction_ids masked or reordered: what is learned stays true, and without a share nothing changes."""

import csv
from itertools import pairwise

import numpy as np
import pytest
import torch

from recommender.config import Config, StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.errors import ConfigError
from recommender.prompting.example import IGNORE, ITEM, MASKED
from recommender.prompting.packing import collate
from recommender.training import TrainingData, epochs, run_stages
from recommender.training.augmentation import augmenting_of, masked, reordered
from recommender.training.run_state import trainable
from tests.conftest import ITEMS

RANK = {"stage": "rank", "epochs": 2, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 0.01}
BOTH = {"mask_share": 0.3, "reorder_share": 0.7}


@pytest.fixture
def long_config(config) -> Config:
    """Histories long enough for a part of them to be shuffled."""
    return config.updated({"prompt.history": 16})


@pytest.fixture
def split():
    items = tuple((np.arange(15) * (1 + u % 2) + u) % ITEMS for u in range(12))
    return leave_one_out(Histories(tuple(map(str, range(12))), items))


def examples(checkpoint, split, **changes):
    stage = StageConfig(**RANK, **changes)
    return epochs.examples(TrainingData(checkpoint.builder, split), stage, epochs.generator(0, 0, 0))


def test_a_short_part_in_a_row_is_shuffled_and_its_places_are_forgotten():
    items, interaction_ids = np.arange(100, 121), np.arange(40, 61)
    spans, moved = set(), np.zeros(21, int)
    for seed in range(300):
        found, asked = reordered(items, interaction_ids, np.random.default_rng(seed))
        part = np.flatnonzero(asked < 0)
        spans.add(len(part))
        assert (np.diff(part) == 1).all()
        assert sorted(found[part]) == items[part].tolist()
        np.testing.assert_array_equal(asked[asked >= 0] - 40, found[asked >= 0] - 100)
        moved += found != items
    assert spans == {2, 3, 4, 5}  # of twenty inputs a quarter at most
    assert moved[:20].all() and not moved[20]  # any input may move, and what comes last never does
    np.testing.assert_array_equal(items, np.arange(100, 121))
    np.testing.assert_array_equal(interaction_ids, np.arange(40, 61))


@pytest.mark.parametrize(("length", "moves"), [(0, False), (1, False), (8, False), (9, True)])
def test_a_history_too_short_to_shuffle_stays(length, moves):
    items = np.arange(length)
    assert any((reordered(items, items, np.random.default_rng(s))[0] != items).any() for s in range(20)) is moves


def test_only_items_of_the_history_are_masked_and_all_is_still_learned(leveled):
    _, builder = leveled
    plain = builder.ranking(np.arange(12), known=4, interaction_ids=np.arange(12))
    hidden = masked(plain, 0.5, np.random.default_rng(0))
    gone = hidden.slots == MASKED
    assert 2 < gone.sum() < 10 and (plain.slots[gone] == ITEM).all() and (hidden.items[gone] == -1).all()
    for name in ("tokens", "anchors", "labels", "interaction_ids"):
        np.testing.assert_array_equal(getattr(hidden, name), getattr(plain, name))
    for name in ("items", "slots"):
        np.testing.assert_array_equal(getattr(hidden, name)[~gone], getattr(plain, name)[~gone])
    assert masked(plain, 0.0, np.random.default_rng(0)).items.tolist() == plain.items.tolist()


def test_a_masked_item_is_read_as_the_same_whatever_it_is(make_checkpoint, config):
    checkpoint = make_checkpoint(1, config.updated({"base.item_scale": 3.0}))
    model, builder = checkpoint.model, checkpoint.builder
    first, second = (masked(builder.ranking(h), 1 - 1e-9, np.random.default_rng(0)) for h in ([1, 2, 3], [9, 8, 3]))
    with torch.no_grad():
        read = model.embed(collate([[first]]))
        torch.testing.assert_close(read, model.embed(collate([[second]])))
        assert not torch.equal(read, model.embed(collate([[builder.ranking([1, 2, 3])]])))
        for at in np.flatnonzero(first.slots == MASKED):
            torch.testing.assert_close(read[0, at], 3.0 * model.centre)


def test_labels_follow_the_shuffled_inputs(make_checkpoint, long_config, split):
    """What a position is labelled with stands at the next one, and a place is that of the interaction itself."""
    checkpoint = make_checkpoint(1, long_config)
    item_of = {int(token): i for i, token in enumerate(checkpoint.builder.code_tokens[:, 0])}
    own, unasked, shuffled = np.concatenate(split.train.items), 0, 0
    steps = {pair for history in split.train.items for pair in pairwise(history.tolist())}
    for example in examples(checkpoint, split, reorder_share=1.0, titled_share=0.0):
        labelled = np.flatnonzero(example.labels != IGNORE)
        labels = [item_of[int(label)] for label in example.labels[labelled]]
        read = example.items[example.slots == ITEM].tolist()
        assert labels[:-1] == read[len(read) - len(labels) + 1 :]
        shuffled += not steps.issuperset(pairwise(read))
        for label, place in zip(labels, example.interaction_ids[labelled].tolist(), strict=True):
            unasked += place < 0
            assert place < 0 or own[place] == label
    assert unasked >= 24 and shuffled > 3  # two of each history at least


def test_without_a_share_nothing_is_drawn(make_checkpoint, long_config, split):
    checkpoint = make_checkpoint(1, long_config)
    plain = examples(checkpoint, split)
    for changes, alike in (({"mask_share": 0.0, "reorder_share": 0.0}, True), (BOTH, False)):
        found = examples(checkpoint, split, **changes)
        assert ([e.items.tolist() for e in found] == [e.items.tolist() for e in plain]) is alike
    found = examples(checkpoint, split, **BOTH)
    again = examples(checkpoint, split, **BOTH)
    assert [e.items.tolist() for e in found] == [e.items.tolist() for e in again]
    hidden = np.concatenate([e.slots[e.slots != 0] for e in found]) == MASKED
    assert 0.15 < hidden.mean() < 0.45


def test_killed_and_resumed_an_augmented_run_ends_the_same(make_checkpoint, long_config, split, tmp_path):
    config = long_config.updated({"training.stages": [RANK | BOTH], "training.checkpoint_minutes": 1e-6})

    def kill(what, done, total):
        if done == total // 2 + 1:
            raise KeyboardInterrupt

    def run(output, progress=None):
        checkpoint = make_checkpoint(1, config)
        run_stages(checkpoint.model, TrainingData(checkpoint.builder, split), config, output, progress)
        return trainable(checkpoint.model), [r["loss"] for r in csv.DictReader((output / "log.csv").open())]

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", kill)
    resumed = run(tmp_path / "killed")
    assert all(torch.equal(whole[0][name], resumed[0][name]) for name in whole[0]) and whole[1] == resumed[1]


@pytest.mark.parametrize(("key", "value"), [("mask_share", 1), ("mask_share", -0.1), ("reorder_share", 1.1)])
def test_a_share_out_of_range_names_its_key(key, value):
    with pytest.raises(ConfigError, match=f"training.stages.0.{key}"):
        Config.parse({"training": {"stages": [{"stage": "rank", key: value}]}})


def test_a_stage_counts_what_it_learns_from_and_knows_who_is_near_in_content(features):
    stage = StageConfig(stage="rank", dropout_by_activity=3, neighbour_mix=0.5)
    histories = [np.array([1, 1, 1, 2]), np.array([2, 5])]
    found = augmenting_of(stage, features, histories, torch.device("cpu"))
    assert found.half == 3 and found.neighbour_mix == 0.5
    assert found.trust[:6].tolist() == pytest.approx([0, 0.5, 0.4, 0, 0, 0.25])
    twin = features.with_rows("text", np.array([7]), features.vectors["text"][[4]])
    for m in ("image", "audio"):
        twin = twin.with_rows(m, np.array([7]), features.vectors[m][[4]])
    near = augmenting_of(stage, twin, histories, torch.device("cpu")).neighbours
    assert near[4, 0] == 7 and near[7, 0] == 4 and not (near == torch.arange(ITEMS)[:, None]).any()


def test_without_either_and_in_other_stages_nothing_is_counted(features):
    both = {"dropout_by_activity": 3, "neighbour_mix": 0.5}
    for stage in (StageConfig(stage="rank"), StageConfig(stage="align", **both)):
        assert augmenting_of(stage, features, [], torch.device("cpu")) is None


def test_a_training_with_both_is_repeatable_and_differs_from_one_without(make_checkpoint, long_config, split, tmp_path):
    def trained(name, **changes):
        checkpoint = make_checkpoint(1, long_config)
        stage = RANK | changes
        settings = long_config.updated({"training.stages": [stage], "training.teacher": None})
        run_stages(checkpoint.model, TrainingData(checkpoint.builder, split), settings, tmp_path / name)
        return trainable(checkpoint.model)

    augmented = [trained(name, dropout_by_activity=5, neighbour_mix=0.5) for name in ("one", "other")]
    plain = trained("plain")
    assert all(torch.equal(value, augmented[1][name]) for name, value in augmented[0].items())
    assert any(not torch.equal(value, plain[name]) for name, value in augmented[0].items())
