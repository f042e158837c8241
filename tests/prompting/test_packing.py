"""Packing: examples in rows, who sees whom there, and long histories cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.model import RecommenderModel
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import IGNORE, Example
from recommender.prompting.packing import Batch, collate, pack
from recommender.training.augmentation import crops


def sized(length: int) -> Example:
    nothing = np.full(length, -1)
    return Example(np.arange(length), nothing, np.zeros(length, np.int64), nothing, np.full(length, IGNORE), nothing)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 25), max_size=60), st.integers(8, 20), st.integers(0, 7))
def test_packing_loses_nothing_and_keeps_to_the_limit(lengths, row_tokens, prefix):
    rows = pack([sized(length) for length in lengths], row_tokens, prefix)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(row == sorted(row) and row for row in rows)
    for row in rows:
        assert len(row) == 1 or sum(lengths[index] for index in row) + prefix <= row_tokens
    for index in (i for i, length in enumerate(lengths) if length + prefix > row_tokens):
        assert [index] in rows


@pytest.mark.parametrize(("prefix", "rows"), [(0, [[0, 1, 2], [3]]), (1, [[0, 1], [2, 3]]), (7, [[0], [1], [2], [3]])])
def test_rows_are_filled_and_the_prefix_counts(prefix, rows):
    assert pack([sized(3)] * 4, 9, prefix) == rows


def test_a_small_example_fills_the_first_row_with_room():
    assert pack([sized(6), sized(6), sized(2), sized(4)], 10) == [[0, 2], [1, 3]]


# --- laying out


def mixed_rows(builder: ExampleBuilder) -> list[list[Example]]:
    """Rows of unequal length, of one and of several examples, short and long, plain and spelled out."""
    histories = ([3, 1, 4, 5, 9, 2], [6], [7, 7, 8], [0, 19, 2, 11])
    ranked = [builder.ranking(history, known) for known in (0, 1) for history in histories]
    queried = builder.queried([3, 8, 1], "good night", np.array([False, True, True]))
    return [
        ranked[:3],
        [ranked[4], builder.finding(5), queried, ranked[3]],
        [ranked[5]],
        [queried, *ranked[6:], builder.finding(11)],
    ]


@torch.no_grad()
def hidden_states(model: RecommenderModel, batch: Batch) -> torch.Tensor:
    return model.read(model.embed(batch), batch.positions, batch.mask, write=batch.writes)


def test_a_packed_example_is_read_as_if_alone(leveled):
    model, builder = leveled
    rows, size = mixed_rows(builder), len(builder.prefix)
    packed = hidden_states(model, collate(rows, builder.prefix))
    for row, states in zip(rows, packed, strict=True):
        start = size
        for example in row:
            alone = hidden_states(model, collate([[example]], builder.prefix))[0]
            torch.testing.assert_close(states[start : start + len(example)], alone[size:], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(states[:size], alone[:size], atol=1e-5, rtol=1e-4)
            start += len(example)


def test_an_example_with_its_own_instruction_is_read_as_if_there_were_no_shared_one(leveled):
    model, builder = leveled
    queried = builder.queried([3, 8, 1], "good night", np.array([True, False, True]))
    packed = hidden_states(model, collate([[builder.ranking([4, 2]), queried]], builder.prefix))[0]
    served = hidden_states(model, collate([[queried]]))[0]
    torch.testing.assert_close(packed[-len(queried) :], served, atol=1e-5, rtol=1e-4)


def test_the_loss_of_a_batch_is_the_sum_of_its_examples(leveled):
    model, builder = leveled
    written = [[builder.describing(i) for i in (2, 4)], [builder.writing("red", "good blue film")]]
    for rows, prefix in ((mixed_rows(builder), builder.prefix), (written, None)):
        with torch.no_grad():
            loss, labels = model(collate(rows, prefix))
            alone = [model(collate([[example]], prefix)) for row in rows for example in row]
        assert int(labels) == sum(int(count) for _, count in alone)
        assert float(loss) == pytest.approx(sum(float(one) for one, _ in alone), rel=1e-5)


def test_a_branch_continues_the_trunk_up_to_its_anchor_and_sees_no_other(make_checkpoint):
    """Each branch is read as the plain sequence that ends with its codes, which is what the beam search feeds."""
    checkpoint = make_checkpoint(3)
    model, builder = checkpoint.model, checkpoint.builder
    example = builder.ranking([3, 1, 4, 5, 9], known=2)
    states = hidden_states(model, collate([[builder.ranking([8, 2]), example]], builder.prefix))[0]
    offset = len(builder.prefix) + len(builder.ranking([8, 2]))
    anchors = np.unique(example.anchors[example.anchors >= 0])
    assert len(anchors) == 3
    for anchor in anchors:
        branch = np.flatnonzero(example.anchors == anchor)
        path = np.concatenate([np.arange(anchor + 1), branch])
        parts = [getattr(example, name)[path] for name in ("tokens", "items", "slots")]
        plain = Example(*parts, np.full(len(path), -1), np.full(len(path), IGNORE), np.full(len(path), -1))
        expected = hidden_states(model, collate([[plain]], builder.prefix))[0, len(builder.prefix) :]
        torch.testing.assert_close(states[offset + path], expected, atol=1e-5, rtol=1e-4)


def may_see(row: Sequence[Example], prefix: int, length: int) -> np.ndarray:
    """Who may attend to whom, written out place by place: `interaction_ids` holds (example, place in it, its anchor)."""
    interaction_ids = [(-1, place, -1) for place in range(prefix)]
    interaction_ids += [(n, place, int(anchor)) for n, e in enumerate(row) for place, anchor in enumerate(e.anchors)]
    allowed = np.zeros((length, length), dtype=bool)
    for q, (example, place, anchor) in enumerate(interaction_ids):
        for k, (other, there, hung) in enumerate(interaction_ids):
            if other == -1:
                allowed[q, k] = there <= place if example < 0 else not row[example].alone
            elif other == example:
                before = there <= place if anchor < 0 else there <= anchor
                allowed[q, k] = before if hung < 0 else (hung == anchor and there <= place)
    return allowed


def test_nobody_sees_another_example_and_everybody_sees_the_prefix(leveled):
    _, builder = leveled
    rows = mixed_rows(builder)
    for prefix in (builder.prefix, None):
        batch = collate(rows, prefix)
        size = 0 if prefix is None else len(prefix)
        for row, mask in zip(rows, batch.mask.whole[:, 0].numpy(), strict=True):
            used = size + sum(map(len, row))
            assert np.array_equal(mask[:used], may_see(row, size, mask.shape[1])[:used])


def test_padding_is_seen_by_nobody_and_learned_nowhere(leveled):
    _, builder = leveled
    rows = mixed_rows(builder)
    batch = collate(rows, builder.prefix)
    lengths = [len(builder.prefix) + sum(map(len, row)) for row in rows]
    assert batch.tokens.shape == batch.labels.shape == (len(rows), max(lengths))
    assert batch.mask.whole.shape == (len(rows), 1, max(lengths), max(lengths)) and not batch.writes
    for number, length in enumerate(lengths):
        assert (batch.labels[number, length:] == IGNORE).all() and (batch.items[number, length:] == -1).all()
        assert not batch.mask.whole[number, 0, :length, length:].any()
    assert (batch.labels[:, : len(builder.prefix)] == IGNORE).all()


def test_a_padded_position_sees_itself_or_its_states_would_be_no_numbers(leveled):
    model, builder = leveled
    for prefix in (builder.prefix, None):
        batch = collate(mixed_rows(builder), prefix)
        assert batch.mask.whole[:, 0].diagonal(dim1=1, dim2=2).all()
        assert torch.isfinite(hidden_states(model, batch)).all()


def test_positions_go_on_behind_the_prefix_and_behind_the_anchor(make_checkpoint):
    builder = make_checkpoint(3).builder
    row = [builder.ranking([3, 1]), builder.ranking([4])]
    size = len(builder.prefix)
    expected = [*range(size), *(size + place for place in (0, 1, 1, 2, 2, 3)), *(size + place for place in (0, 1, 2))]
    assert collate([row], builder.prefix).positions[0].tolist() == expected


def test_a_batch_moves_as_a_whole(make_checkpoint):
    batch = collate([[make_checkpoint().builder.writing("red", "blue")]]).to("meta")
    assert batch.writes
    tensors = [
        value for value in (*vars(batch).values(), *vars(batch.mask).values()) if isinstance(value, torch.Tensor)
    ]
    assert len(tensors) == 9 and all(tensor.device.type == "meta" for tensor in tensors)


# --- cutting long histories


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 90), st.integers(2, 30), st.integers(0, 10**6))
def test_whatever_the_sizes_each_item_but_the_first_is_predicted_exactly_once(length, size, seed):
    history = np.arange(length) * 7
    pieces = list(crops(history, size, np.random.default_rng(seed)))
    assert all(1 <= len(piece) <= size for piece in pieces)
    predicted = [item for piece in pieces for item in piece[1:].tolist()]
    assert predicted == history[1:].tolist()
    assert [piece[0] for piece in pieces[1:]] == [piece[-1] for piece in pieces[:-1]]
    assert [piece[0] for piece in pieces[:1]] == history[:1].tolist()


@pytest.mark.parametrize("length", [1, 9, 10])
def test_a_history_that_fits_stays_whole(length):
    for seed in range(20):
        pieces = list(crops(np.arange(length), 10, np.random.default_rng(seed)))
        assert [piece.tolist() for piece in pieces] == [list(range(length))]


def test_the_first_boundary_moves_from_epoch_to_epoch():
    firsts = {len(next(crops(np.arange(50), 10, np.random.default_rng(seed)))) for seed in range(100)}
    assert firsts == set(range(5, 11))


def test_a_prompt_of_one_item_still_ends():
    assert len(list(islice(crops(np.arange(4), 1, np.random.default_rng(0)), 50))) < 50


def test_every_label_says_which_interaction_it_is(leveled):
    _, builder = leveled
    history = np.array([3, 7, 1, 12])
    example = builder.ranking(history, known=2, interaction_ids=40 + np.arange(len(history)))
    labelled = example.labels != IGNORE
    assert (example.interaction_ids >= 0).tolist() == labelled.tolist()
    firsts = dict(zip(builder.code_tokens[history, 0].tolist(), range(40, 44), strict=True))
    on_trunk = labelled & (example.anchors < 0)
    assert [firsts[c] for c in example.labels[on_trunk]] == example.interaction_ids[on_trunk].tolist() == [42, 43]
    # on a branch stand the codes after the first, of the same interaction as the anchor's
    for at in np.flatnonzero(example.anchors >= 0):
        assert example.interaction_ids[at] == example.interaction_ids[example.anchors[at]]
    batch = collate([[example]])
    np.testing.assert_array_equal(batch.interaction_ids[0].numpy(), example.interaction_ids)
