"""What may follow which tokens: the trie of a served folder, in the token ids of its vocabulary."""

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recommender.constraints import SparseMask
from recommender.vllm_plugin import served_folder
from recommender.vllm_plugin.served_folder import Allowed, Served, write_served

FIRST_CODE = 10
CODES = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 1]])
SIZES = (2, 2, 2)


@pytest.fixture
def served(tmp_path):
    write_served(tmp_path, FIRST_CODE, SIZES, CODES)
    return Served.load(tmp_path)


def finite(row):
    return torch.isfinite(row).nonzero()[:, 0].tolist()


def test_the_state_follows_from_token_ids_alone(served):
    def following(tokens, allowed=Allowed()):  # noqa: B008
        row = torch.randn(20)
        served.constrain(row, tokens, allowed)
        return finite(row)

    assert following([3, 7, 1]) == [10, 11]
    assert following([3, 10]) == [12, 13] and following([3, 11]) == [12]
    assert following([3, 10, 13]) == [14, 15] and following([11, 12]) == [15]
    assert following([10, 13, 15]) == [10, 11]  # an item is whole: the next one begins
    assert following([3, 10, 13], Allowed(deny=(1,))) == [15]
    assert following([3], Allowed(only=(3,))) == [11]
    assert following([3], Allowed(deny=(0, 1, 2, 3))) == []
    assert following([11, 13]) == []  # begins no item
    for dead in ([10, 10], [3, 12], [10, 10, 12], [12, 10], [3, 12, 13]):  # nor do codes of levels that do not ascend
        assert following(dead) == [] and served.state(dead)[0] == -1


def test_scores_are_log_softmax_over_the_level_and_then_the_trie(served):
    row = torch.randn(20)
    expected = torch.log_softmax(row[12:14], -1)
    served.constrain(row, [11], Allowed())
    assert row[12] == pytest.approx(float(expected[0])) and not torch.isfinite(row[13])


@pytest.mark.parametrize(
    "extra",
    [
        *([], {"no": 1}, {"deny": [4]}, {"only": [-1]}, {"deny": "0"}, {"only": [True]}),
        *({"bits": "1"}, {"bits": b"12"}, {"bits": b"1", "deny": []}),
    ],
)
def test_what_allows_nothing_sensible_is_refused(extra):
    with pytest.raises(ValueError, match="recommender"):
        Allowed.of(extra, items=4)


def test_the_state_and_the_next_level_come_from_the_last_codes(served):
    assert served.state([]) == served.state([3, 7]) == served.state([10, 13, 15]) == (served.trie.root, 0)
    assert served.state([11])[1] == 1 and served.state([3, 10, 13])[1] == 2
    assert served.state([11, 13]) == (-1, 2)
    assert [served.level_of(token) for token in (9, 10, 12, 15, 16)] == [None, 0, 1, 2, None]


@pytest.mark.parametrize(
    ("entry", "nothing"),
    [
        ({}, False),
        ({"deny": [0, 1, 2, 3]}, True),
        ({"deny": [0, 0, 1, 1]}, False),
        ({"only": []}, True),
        ({"only": [2], "deny": [2]}, True),
        ({"only": [2, 1], "deny": [2]}, False),
    ],
)
def test_whether_nothing_may_be_shown(served, entry, nothing):
    allowed = Allowed.of(entry, 4)
    assert allowed.none_of(4) is nothing
    row = torch.zeros(20)
    served.constrain(row, [3], allowed)
    assert bool(finite(row)) is not nothing


def test_items_have_tokens_behind_the_codes_unless_a_code_is_an_item(served):
    assert [served.item_token(item) for item in range(4)] == [16, 17, 18, 19]
    assert Served(FIRST_CODE, SIZES, CODES, first_item=30).item_token(2) == 32
    assert served.items_of([[11, 12, 15], [10, 13, 14]]) == [3, 1] and served.items_of([]) == []
    with pytest.raises(RuntimeError, match="codes of no item"):
        served.items_of([[11, 12, 15], [11, 13, 15]])
    atomic = Served(FIRST_CODE, (4,), np.array([[2], [0], [3], [1]]))
    assert atomic.levels == 1 and [atomic.item_token(item) for item in range(4)] == [12, 10, 13, 11]


def test_what_a_history_denies_costs_a_list_whatever_the_size_of_the_catalogue():
    codes = np.column_stack(np.unravel_index(np.arange(20_000), (20, 20, 50)))
    large = Served(FIRST_CODE, (20, 20, 50), codes)
    denied = Allowed(deny=tuple(range(50)))  # the whole of one prefix
    mask = large.mask(denied)
    assert isinstance(mask, SparseMask) and mask.listed.numel() == 51
    row = torch.zeros(FIRST_CODE + 90)
    large.constrain(row, [3, FIRST_CODE], denied)
    assert finite(row) == list(range(FIRST_CODE + 21, FIRST_CODE + 40))
    assert large.mask(Allowed()) is None


def test_masks_are_cached_up_to_a_number(served, monkeypatch):
    monkeypatch.setattr(served_folder, "_CACHED_MASKS", 2)
    first, second, third = (Allowed(deny=(item,)) for item in range(3))
    monkeypatch.setattr(served_folder, "_LEAST_CACHED", 1)
    mask = served.mask(first)
    assert served.mask(first) is mask and served.mask(Allowed(deny=(0,))) is mask
    served.mask(second), served.mask(first), served.mask(third)
    assert served.mask(first) is mask  # the second was used least recently
    assert len(served._masks) == 2


@given(st.sets(st.integers(0, 3)), st.none() | st.sets(st.integers(0, 3)), st.integers(0, 3), st.booleans())
def test_only_beginnings_of_allowed_items_are_finite(deny, only, of_item, as_bits):
    """Against the list of items itself, after every prefix of one of them."""
    served = Served(FIRST_CODE, SIZES, CODES)
    allowed = Allowed(tuple(sorted(deny)), None if only is None else tuple(sorted(only)))
    if as_bits:
        with mock.patch.object(served_folder, "LISTED", -1):
            allowed = Allowed.of(allowed.entry(4), 4)
        assert allowed.bits is not None and allowed.entry(4) == {"bits": allowed.bits}
    else:
        assert Allowed.of(allowed.entry(4), 4) == allowed
    assert allowed.none_of(4) == (not allowed.table(4).any())
    shown = [item for item in range(4) if item not in deny and (only is None or item in only)]
    for level in range(3):
        prefix = CODES[of_item, :level]
        row = torch.randn(20)
        served.constrain(row, [3, *(FIRST_CODE + 2 * n + int(code) for n, code in enumerate(prefix))], allowed)
        following = {int(CODES[item, level]) for item in shown if (CODES[item, :level] == prefix).all()}
        assert finite(row) == [FIRST_CODE + 2 * level + code for code in sorted(following)]


def test_a_folder_comes_back_as_it_was_written(served, tmp_path):
    again = Served.load(str(tmp_path))
    assert again.sizes == SIZES and np.array_equal(again.codes, CODES)
    assert again.level_starts.tolist() == [10, 12, 14, 16]
