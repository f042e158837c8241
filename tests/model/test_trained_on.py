"""A digest of what was trained on, and a sketch that tells whether many targets were, and of none for certain."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.data.histories import Histories, leave_one_out
from recommender.errors import CheckpointError
from recommender.model.trained_on import FALSE_POSITIVES, TRAINED_ON, TrainedOn, digest_of
from recommender.numerics.drift import item_stability


@pytest.fixture
def many(catalogue) -> Histories:
    random = np.random.default_rng(0)
    items = tuple(random.permutation(len(catalogue))[:8] for _ in range(300))
    return Histories(tuple(f"u{n}" for n in range(300)), items)


@pytest.fixture
def trained(many, catalogue) -> TrainedOn:
    return TrainedOn.of(many, leave_one_out(many).train.items, catalogue)


def pairs(histories, place, catalogue, users=slice(None)):
    chosen = list(zip(histories.user_ids, histories.items, strict=True))[users]
    return [(user, catalogue.item_ids[items[place]]) for user, items in chosen]


def test_the_digest_is_of_users_items_and_their_order_not_of_the_order_of_users(many, catalogue):
    backwards = Histories(many.user_ids[::-1], many.items[::-1])
    assert digest_of(many, catalogue) == digest_of(backwards, catalogue)
    others = [
        replace(many, user_ids=("x", *many.user_ids[1:])),
        replace(many, items=(many.items[0][::-1], *many.items[1:])),
        replace(many, items=(many.items[0][:-1], *many.items[1:])),  # one that was kept out is missing
        Histories(many.user_ids[1:], many.items[1:]),
    ]
    assert len({digest_of(other, catalogue) for other in [many, *others]}) == 5


def test_what_was_learned_always_looks_learned(trained, many, catalogue):
    for place in range(6):
        assert trained.count_seen(pairs(many, place, catalogue))[0] == 300


def test_of_single_pairs_it_says_nothing_for_certain(trained, many, catalogue):
    """One in eight that it never saw looks seen: whoever asks for all items of a user gets more wrong than right ones."""
    seen, share = trained.count_seen(pairs(many, -1, catalogue))
    assert 0.5 * FALSE_POSITIVES < seen / 300 < 1.6 * FALSE_POSITIVES
    assert share == pytest.approx(FALSE_POSITIVES, rel=0.3)
    assert trained.sketch.nbytes < 0.6 * 300 * 6  # bytes, of six interactions of each user


@pytest.mark.parametrize(("leaked", "found"), [(0, False), (2, False), (60, True), (300, True)])
def test_of_many_targets_it_says_whether_they_were_learned(trained, many, catalogue, leaked, found):
    targets = pairs(many, 2, catalogue, slice(0, leaked)) + pairs(many, -1, catalogue, slice(leaked, None))
    count = trained.too_many_seen(targets)
    assert (count is not None) is found
    assert count is None or abs(count - leaked) < 30


def windows(histories, place, catalogue, users):
    chosen = histories.items[users]
    return [tuple(catalogue.item_ids[i] for i in items[: len(items) + place + 1][-3:]) for items in chosen]


@pytest.mark.parametrize(("count", "leaked", "found"), [(6, 6, True), (60, 8, True), (60, 0, False), (6, 0, False)])
def test_of_few_targets_it_says_so_too(trained, many, catalogue, count, leaked, found):
    honest = slice(leaked, count)
    both = [of(many, -3, catalogue, slice(0, leaked)) + of(many, -1, catalogue, honest) for of in (pairs, windows)]
    assert (trained.too_many_seen(*both) is not None) is found


def test_under_other_names_what_followed_what_is_known(trained, many, catalogue):
    names = [(f"x{n}", item) for n, (_, item) in enumerate(pairs(many, -3, catalogue))]
    assert trained.too_many_seen(names, windows(many, -3, catalogue, slice(None))) > 250
    assert trained.too_many_seen(names, windows(many, -1, catalogue, slice(None))) is None


def test_what_came_before_is_saved_too(trained, many, catalogue, tmp_path):
    TrainedOn.of(many, leave_one_out(many).train.items, catalogue, trained).save(tmp_path / TRAINED_ON)
    loaded = TrainedOn.load(tmp_path)
    assert np.array_equal(loaded.earlier.windows, trained.windows) and loaded.earlier.chance == trained.chance


def test_no_target_is_no_finding(trained):
    assert trained.too_many_seen([]) is None


def test_it_is_saved_whole_and_says_nothing_of_ids(trained, tmp_path):
    trained.save(tmp_path / TRAINED_ON)
    loaded = TrainedOn.load(tmp_path)
    assert loaded.digest == trained.digest and np.array_equal(loaded.sketch, trained.sketch)
    assert b"u12" not in (tmp_path / TRAINED_ON).read_bytes()
    assert TrainedOn.load(tmp_path / "older") is None
    (tmp_path / TRAINED_ON).write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="is damaged"):
        TrainedOn.load(tmp_path)


@pytest.mark.parametrize(("leaked", "found"), [(0, False), (150, True)])
@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_runs_under_other_names_and_in_another_order_look_learned(leaked, found, order):
    wide = Catalogue([Item(str(n), f"T {n}") for n in range(500)])
    random = np.random.default_rng(0)
    items = tuple(random.permutation(500)[:8] for _ in range(150))
    histories = Histories(tuple(f"u{n}" for n in range(150)), items)
    trained = TrainedOn.of(histories, items, wide)
    others = [random.permutation(500)[:3] for _ in range(150 - leaked)]
    runs = [tuple(str(own[place]) for place in order) for own in [*(own[-3:] for own in items[:leaked]), *others]]
    count = trained.too_many_seen([(f"x{n}", run[-1]) for n, run in enumerate(runs)], runs)
    assert count is None if not found else count == pytest.approx(150, abs=15)


def test_how_often_items_were_learned_is_known_by_tenths_only(trained, many, catalogue, tmp_path):
    learned = leave_one_out(many).train.items
    counts = Counter(catalogue.item_ids[int(item)] for items in learned for item in items)
    now = Counter({catalogue.item_ids[item]: item + 1 for item in range(9)})
    trained.save(tmp_path / TRAINED_ON)
    loaded = TrainedOn.load(tmp_path)
    for one in (trained, loaded):
        assert one.item_bins(catalogue.item_ids).stability(now) == pytest.approx(item_stability(counts, now))
        assert one.item_bins(catalogue.item_ids).stability(counts) == pytest.approx(0, abs=1e-9)
    assert loaded.bins.max() <= 10 < max(counts.values()), "no count is kept"
    older = replace(trained, bins=None, shares=None)
    older.save(tmp_path / TRAINED_ON)
    assert TrainedOn.load(tmp_path).item_bins(catalogue.item_ids) is None
    assert older.reordered(np.arange(30)) is older and trained.item_bins(["other"]) is None


def test_new_items_were_never_learned(trained, many, catalogue):
    order = np.roll(np.arange(len(catalogue) + 2), 1)
    ids = [*catalogue.item_ids, "new", "newer"]
    known, moved = trained.item_bins(catalogue.item_ids), trained.reordered(order).item_bins([ids[n] for n in order])
    assert moved.place == known.place and moved.stability({"new": 3, "newer": 1}) > 5
