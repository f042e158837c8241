from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.benchmarks.trie_speed import clustered_codes
from recommender.constraints import Trie


@st.composite
def catalogues(draw):
    """Unique random codes [items, levels] in random order, and their sizes."""
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    row = st.tuples(*(st.integers(0, size - 1) for size in sizes))
    return np.array(draw(st.lists(row, min_size=1, max_size=40, unique=True))), sizes


def below(codes, prefix):
    """Brute force: the items whose codes begin with the prefix."""
    return [item for item, row in enumerate(codes.tolist()) if row[: len(prefix)] == list(prefix)]


def walk(trie, prefix):
    """The state reached by following the prefix through `children`, one code at a time."""
    state = trie.root
    for level, code in enumerate(prefix):
        codes, following = trie.children(torch.tensor([state]), level)
        state = int(following[codes == code].item())
    return state


@settings(deadline=None)
@given(catalogues())
def test_children_are_those_of_a_dictionary_trie(case):
    codes, sizes = case
    trie = Trie.from_codes(codes, sizes)
    prefixes = {tuple(row[:depth]) for row in codes.tolist() for depth in range(len(sizes))}
    for prefix in prefixes:
        expected = sorted({row[len(prefix)] for row in codes[below(codes, prefix)].tolist()})
        found, following = trie.children(torch.tensor(walk(trie, prefix)), len(prefix))
        assert found[found >= 0].tolist() == expected
        assert ((found < 0) == (following < 0)).all()
        first, end = trie.child_range(walk(trie, prefix))
        assert list(range(first, end)) == following[following >= 0].tolist()
        by_code = [trie.child(walk(trie, prefix), code) for code in range(sizes[len(prefix)])]
        assert [code for code, child in enumerate(by_code) if child >= 0] == expected
        assert [child for child in by_code if child >= 0] == list(range(first, end))
    assert trie.states == len(prefixes) + len(codes)
    assert (trie.items, trie.levels, trie.sizes) == (len(codes), len(sizes), sizes)


@settings(deadline=None)
@given(catalogues(), st.data())
def test_alive_exactly_where_an_allowed_item_is_below(case, data):
    codes, sizes = case
    trie = Trie.from_codes(codes, sizes)
    masks = data.draw(
        st.lists(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes)), min_size=1, max_size=3)
    )
    alive = trie.alive(torch.tensor(masks))
    assert alive.shape == (len(masks), trie.states)
    for prefix in {tuple(row[:depth]) for row in codes.tolist() for depth in range(len(sizes) + 1)}:
        expected = [any(mask[item] for item in below(codes, prefix)) for mask in masks]
        assert alive[:, walk(trie, prefix)].tolist() == expected


@settings(deadline=None)
@given(catalogues())
def test_leaves_lead_back_to_their_items(case):
    codes, sizes = case
    trie = Trie.from_codes(codes, sizes)
    leaves = torch.tensor([walk(trie, row) for row in codes.tolist()])
    assert trie.item_of(leaves).tolist() == list(range(len(codes)))
    assert trie.item_of(torch.tensor([trie.root, -1])).tolist() == [-1, -1]
    every = np.array(list(itertools.product(*map(range, sizes))))
    numbers = {tuple(row): item for item, row in enumerate(codes.tolist())}
    assert trie.items_with(torch.from_numpy(every)).tolist() == [numbers.get(tuple(row), -1) for row in every.tolist()]


def test_children_of_a_batch_are_padded_to_the_largest_fan_out_of_the_level():
    trie = Trie.from_codes(np.array([[0, 2], [0, 0], [0, 1], [3, 2]]), (4, 3))
    codes, following = trie.children(torch.tensor([[trie.root, -1]]), 0)
    assert codes.tolist() == [[[0, 3], [-1, -1]]]
    codes, leaves = trie.children(following, 1)
    assert codes.shape == (1, 2, 2, 3)
    assert codes[0, 0].tolist() == [[0, 1, 2], [2, -1, -1]]
    assert trie.item_of(leaves[0, 0]).tolist() == [[1, 2, 0], [3, -1, -1]]
    assert (codes[0, 1] == -1).all()


def test_without_allowed_set_everything_is_alive():
    trie = Trie.from_codes(np.arange(6)[:, None], (6,))
    assert trie.alive(None).tolist() == [[True] * 7]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 1], [0, 1], [1, 0]], "1 items share"),
        ([[0, 2]], "codes must lie"),
        ([[0, -1]], "codes must lie"),
        ([[0], [1]], "shape"),
    ],
)
def test_codes_that_make_no_trie_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        Trie.from_codes(np.array(codes), (2, 2))


def test_many_items():
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 256, (200_000, 4)), axis=0)
    trie = Trie.from_codes(codes[rng.permutation(len(codes))], (256,) * 4)
    assert trie.items == len(codes)
    assert trie.alive(torch.zeros(1, len(codes), dtype=torch.bool)).sum() == 0


def _random_codes(items: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.permutation(np.unique(rng.integers(0, 6, (items * 3, 3)), axis=0))[:items]


def _dictionary(trie: Trie, held: dict[int, tuple[int, ...]]) -> None:
    """The trie has the items `held`, each at its codes, and nothing else."""
    assert trie.items == len(held)
    prefixes = {codes[:depth] for codes in held.values() for depth in range(trie.levels)}
    for prefix in prefixes:
        expected = sorted({codes[len(prefix)] for codes in held.values() if codes[: len(prefix)] == prefix})
        found, following = trie.children(torch.tensor(walk(trie, prefix)), len(prefix))
        assert found[found >= 0].tolist() == expected and ((found < 0) == (following < 0)).all()
    leaves = torch.tensor([walk(trie, codes) for codes in held.values()])
    assert trie.item_of(leaves).tolist() == list(held)


def _masks(trie: Trie, held: dict[int, tuple[int, ...]], allowed: torch.Tensor) -> None:
    """The masks of a trie let live what leads to an allowed item, and say nothing of states that it does not reach."""
    prefixes = {codes[:depth] for codes in held.values() for depth in range(trie.levels + 1)}
    states = torch.tensor([[walk(trie, prefix) for prefix in prefixes]]).expand(len(allowed), -1)
    expected = [
        [any(row[item] and codes[: len(p)] == p for item, codes in held.items()) for p in prefixes]
        for row in allowed.tolist()
    ]
    mask = trie.mask(allowed)
    assert (mask.alive(states) if mask else torch.ones_like(states, dtype=torch.bool)).tolist() == expected
    assert trie.alive(allowed).gather(1, states).tolist() == expected


EDITS = st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 30), st.integers(1, 6)), max_size=12)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(catalogues(), EDITS, st.sampled_from([0, 4096]), st.booleans())
def test_edited_tries_are_those_of_the_items_that_they_hold(monkeypatch, case, edits, sparse, roomy):
    codes, sizes = case
    monkeypatch.setattr("recommender.constraints.trie.SPARSE_LIMIT", sparse)
    monkeypatch.setattr("recommender.constraints.trie_states.LEAST_SPARE", 1 << 18 if roomy else 4)
    every = dict(enumerate(itertools.product(*(range(size) for size in sizes))))
    numbers = {row: item for item, row in every.items()}
    held = {numbers[tuple(row)]: tuple(row) for row in codes.tolist()}
    trie = Trie.from_codes(codes, sizes, items=np.array(list(held)))
    versions = [(trie, held)]
    for adds, seed, many in edits:
        trie, held = versions[seed % len(versions)]  # an edit of any version, the last or one that was edited already
        rng = np.random.default_rng(seed)
        free = sorted(every.keys() - held.keys())
        if adds and free:
            chosen = rng.permutation(free)[:many].tolist()
            trie = trie.with_items(chosen, np.array([every[item] for item in chosen]))
            held = held | {item: every[item] for item in chosen}
        elif not adds and len(held) > 1:
            chosen = rng.permutation(list(held))[: min(many, len(held) - 1)].tolist()
            trie = trie.without_items(chosen)
            held = {item: row for item, row in held.items() if item not in chosen}
        versions.append((trie, held))
    for trie, held in versions:
        _dictionary(trie, held)
        allowed = torch.from_numpy(np.random.default_rng(len(held)).random((2, len(every))) < 0.5)
        _masks(trie, held, allowed)


def test_an_item_that_left_comes_back_at_other_codes():
    trie = Trie.from_codes(np.array([[0, 0], [0, 1], [1, 0]]), (3, 2))
    moved = trie.without_items([1]).with_items([1], np.array([[2, 1]])).with_items([7], np.array([[0, 1]]))
    _dictionary(moved, {0: (0, 0), 1: (2, 1), 2: (1, 0), 7: (0, 1)})
    _masks(moved, {0: (0, 0), 1: (2, 1), 2: (1, 0), 7: (0, 1)}, torch.tensor([[True, False] + [True] * 5 + [False]]))
    assert moved.codes_of(torch.tensor([1, 7, 0, 99])).tolist() == [[2, 1], [0, 1], [0, 0], [-1, -1]]
    _dictionary(moved.without_items([1]), {0: (0, 0), 2: (1, 0), 7: (0, 1)})


def test_an_edit_costs_a_few_blocks_whatever_the_number_of_items():
    codes = clustered_codes(300_000)
    trie = Trie.from_codes(codes, (4096,) * 4)
    edited = trie.without_items([17]).with_items([17], codes[17:18])
    assert edited.states - trie.states <= 2 * (sum(trie.fan_outs) + 1)
    assert edited.table is trie.table


def test_edits_that_cannot_be_are_refused():
    codes = _random_codes(3)
    trie = Trie.from_codes(codes, (6, 6, 6))
    for wrong in (
        lambda: trie.with_items([1], codes[:1]),
        lambda: trie.with_items([9], codes[:1]),
        lambda: trie.with_items([8, 9], np.array([[0, 0, 7], [0, 0, 7]])),
        lambda: trie.with_items([8, 8], np.array([[5, 5, 4], [5, 5, 5]])),
        lambda: trie.with_items([8, 9], np.array([[5, 5, 5], [5, 5, 5]])),
        lambda: trie.without_items([9]),
        lambda: trie.without_items([0, 1, 2]),
    ):
        with pytest.raises(ValueError):
            wrong()


@pytest.mark.parametrize("sparse", [0, 4096])
@pytest.mark.parametrize("allowed", [0, 1, 10, 39])
def test_every_mask_lets_those_states_live_that_lead_to_an_allowed_item(monkeypatch, sparse, allowed):
    monkeypatch.setattr("recommender.constraints.trie.SPARSE_LIMIT", sparse)
    trie = Trie.from_codes(_random_codes(40), (6, 6, 6))
    rng = np.random.default_rng(allowed)
    chosen = torch.zeros(2, 40, dtype=torch.bool)
    for row in chosen:
        row[rng.permutation(40)[:allowed]] = True
    states = torch.arange(trie.states).expand(2, -1)
    mask = trie.mask(chosen)
    assert mask is not None
    assert mask.alive(states).tolist() == trie.alive(chosen).tolist()
