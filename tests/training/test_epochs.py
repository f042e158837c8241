"""Epochs: the same numbers give the same examples, text is held out, and batches hold each example once."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.model.soft_targets import SoftTargets
from recommender.prompting.example import IGNORE, ITEM
from recommender.training import TrainingData, epochs


@pytest.fixture
def data(make_checkpoint, histories):
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))
    pairs = [("film " * (1 + number % 9), "good blue " * (1 + number // 9)) for number in range(45)]

    def draw(part, random):
        return ("a red film", np.arange(len(part)) == len(part) - 1) if len(part) > 2 else None

    return TrainingData(make_checkpoint().builder, split, pairs, query=draw)


def examples(data, stage, epoch=0, **changes):
    return epochs.examples(data, StageConfig(stage=stage, **changes), epochs.generator(0, 0, epoch))


def contents(examples):
    return [(example.tokens.tolist(), example.items.tolist(), example.labels.tolist()) for example in examples]


@pytest.mark.parametrize("stage", ["align", "rank", "explain"])
def test_an_epoch_is_a_function_of_its_numbers(data, stage):
    first, again, next_ = (contents(examples(data, stage, epoch)) for epoch in (0, 0, 1))
    assert first == again != next_


def test_every_twentieth_text_is_held_out(data):
    assert len(examples(data, "explain")) == 43 and len(epochs.held_out(data, StageConfig(stage="explain"))) == 2
    assert epochs.held_out(data, StageConfig(stage="rank")) == []
    held_out = epochs.held_out(data, StageConfig(stage="align"))
    assert len(held_out) == 1 and held_out[0].writes  # one of twenty descriptions, no search for a title
    assert Counter(example.writes for example in examples(data, "align")) == {True: 19, False: 20}


def test_a_share_of_the_histories_is_learned_again_behind_a_query(data):
    assert not any(example.alone for example in examples(data, "rank"))
    queried = [example for example in examples(data, "rank", query_share=1.0) if example.alone]
    assert queried and all((example.slots == ITEM).sum() >= 2 for example in queried)


def test_some_histories_begin_like_a_served_prompt(data):
    def spelled(**changes):
        return sum(bool((example.slots > ITEM).any()) for example in examples(data, "rank", **changes))

    assert spelled(titled_share=0.0) == 0 < spelled(titled_share=1.0)


@pytest.mark.parametrize("stage", ["align", "rank", "explain"])
def test_batches_hold_each_example_once_and_either_rank_or_write(data, stage):
    config = StageConfig(stage=stage, batch_tokens=256, row_tokens=64)
    learned = examples(data, stage)
    packed = epochs.batches(learned, config, data.builder.prefix)
    assert sorted(id(e) for rows in packed for row in rows for e in row) == sorted(map(id, learned))
    assert all(len({example.writes for row in rows for example in row}) == 1 for rows in packed)
    assert max(map(len, packed)) <= 256 // 64


def test_only_ranking_rows_begin_with_the_instruction(data):
    for stage in ("rank", "explain"):
        config = StageConfig(stage=stage, batch_tokens=64, row_tokens=64)
        prefix = epochs.shared_prefix(data, config)
        assert np.array_equal(prefix, data.builder.prefix if stage == "rank" else data.builder.prefix[:0])
        rows = epochs.batches(examples(data, stage), config, prefix)[0]
        batch = epochs.as_batch(rows, prefix)
        assert np.array_equal(batch.tokens[0, : len(prefix)].numpy(), prefix)
        assert (batch.ends[0][0] == len(data.builder.prefix)) is (stage == "rank")


def test_favourites_are_followed_by_what_came_after_them(data):
    usual = len(examples(data, "rank"))
    more = examples(data, "rank", favourites=100)
    histories = [set(history.tolist()) for history in data.split.train.items]
    added = [example for example in more if (example.slots == ITEM).sum() <= max(epochs.FAVOURITES)]
    assert len(more) > usual and len(added) >= len(more) - usual
    for example in added:
        named = set(example.items[example.slots == ITEM].tolist())
        assert any(named <= history for history in histories)


def test_favourites_may_be_spelled_out_and_then_only_what_follows_is_learned(data):
    usual = len(examples(data, "rank", titled_share=1.0))
    more = examples(data, "rank", titled_share=1.0, favourites=100)
    alone = [example for example in more if (example.labels != IGNORE).sum() <= 1]
    spelled = [example for example in more if (example.slots > ITEM).any()]
    assert len(spelled) >= len(more) - usual > 0 and len(alone) >= len(more) - usual
    for example in spelled:
        assert set(example.items[example.slots > ITEM].tolist()) <= set(example.items[example.slots == ITEM].tolist())


def test_what_a_teacher_expects_behind_a_history_is_learned_from_it_alone(data):
    items = data.split.train.items
    likeliest = [(int(history[-1]) + 1) % 20 for history in items]
    extended = [np.append(history, item) for history, item in zip(items, likeliest, strict=True)]
    targets = torch.from_numpy(np.concatenate(extended))
    ends = np.cumsum([len(history) for history in extended]) - 1
    weights = torch.zeros(len(targets))
    weights[torch.from_numpy(ends)] = 1.0
    teacher = SoftTargets(targets, targets[:, None].int(), torch.ones(len(targets), 1), weights, with_ends=True)
    stage = {"titled_share": 0.0}
    with_ends = examples(dataclasses.replace(data, teacher=teacher), "rank", **stage)
    plain = examples(data, "rank", **stage)
    ids = np.concatenate([example.interaction_ids for example in with_ends])
    assert set(ends.tolist()) <= set(ids.tolist())
    labels = {
        int(i): int(label) for e in with_ends for i, label in zip(e.interaction_ids, e.labels, strict=True) if i >= 0
    }
    codes = data.builder.code_tokens
    assert all(labels[int(end)] == int(codes[item][0]) for end, item in zip(ends, likeliest, strict=True))
    learned = sum(int((example.labels != IGNORE).sum()) for example in with_ends)
    assert learned == sum(int((example.labels != IGNORE).sum()) for example in plain) + len(items)
    deaf = examples(dataclasses.replace(data, teacher=teacher), "rank", teacher=False, **stage)
    assert contents(deaf) == contents(plain)
