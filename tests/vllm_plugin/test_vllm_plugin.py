"""The parts of the plugin that need no vLLM: what may follow which tokens, and LoRA products by adapter."""

import numpy as np
import pytest
import torch

from recommender.vllm_plugin import cpu_lora
from recommender.vllm_plugin.served_folder import Allowed, Served, write_served
from recommender.vllm_plugin.soft_tokens import SoftFacts, SoftTokens

WORDS = 10
CODES = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 1]])
SIZES = (2, 2, 2)


@pytest.fixture
def served(tmp_path):
    write_served(tmp_path, WORDS, SIZES, CODES)
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


def test_scores_are_log_softmax_over_the_level_and_then_the_trie(served):
    row = torch.randn(20)
    expected = torch.log_softmax(row[12:14], -1)
    served.constrain(row, [11], Allowed())
    assert row[12] == pytest.approx(float(expected[0])) and not torch.isfinite(row[13])


@pytest.mark.parametrize("extra", [[], {"no": 1}, {"deny": [4]}, {"only": [-1]}, {"deny": "0"}, {"only": [True]}])
def test_what_allows_nothing_sensible_is_refused(extra):
    with pytest.raises(ValueError, match="recommender"):
        Allowed.of(extra, items=4)


def test_rows_of_several_adapters_and_of_none():
    inputs, weights = torch.randn(6, 8), torch.randn(3, 1, 4, 8)
    indices = torch.tensor([0, -1, 2, 0, 2, -1])
    output = torch.full((6, 4), 9.0)
    cpu_lora.bgmv_shrink(inputs, weights, output, indices, 0.5)
    for row, adapter in enumerate(indices.tolist()):
        expected = 0.5 * weights[adapter, 0] @ inputs[row] if adapter >= 0 else torch.zeros(4)
        torch.testing.assert_close(output[row], expected)
    grown, before = torch.ones(6, 10), torch.ones(6, 10)
    cpu_lora.bgmv_expand_slice(output, torch.randn(3, 1, 5, 4), grown, indices, 5, 5)
    assert torch.equal(grown[:, :5], before[:, :5]) and torch.equal(grown[1], before[1])
    assert not torch.equal(grown[0, 5:], before[0, 5:])


FACTS = SoftFacts("LlamaForCausalLM", {"image": 2, "audio": 1}, tokens=2, first=30, item_scale=1.0)
TABLES = {"image": np.array([[1, 2, 1], [0, 0, 0]]), "audio": np.array([[3, 1], [4, 1]])}


def test_soft_tokens_become_placeholders_with_vectors_beside_them():
    soft = SoftTokens(FACTS, TABLES)
    tokens, places = soft.placed([5, 34, 35, 36, 37, 7], {}, {})  # item 1: two of its picture, two of its sound
    assert tokens == [5, 30, 30, 31, 31, 7]
    assert [(p.kind, p.offset, p.vector.tolist()) for p in places] == [
        ("image", 1, [[0, 0, 0]]),
        ("audio", 3, [[4, 1]]),
    ]
    own = soft.checked({1: {"image": [7, 8]}}, items=2)
    _, changed = soft.placed([5, 34, 35, 36, 37, 7], own, {1: 7})
    assert [(p.kind, p.offset, p.vector.tolist()) for p in changed] == [
        ("image", 1, [[7, 8, 1]]),
        ("audio", 3, [[4, 1]]),
        ("item", 5, [[7, 8, 1, 4, 1], [0, 0, 0, 4, 1]]),
    ]
    assert changed[0].name != places[0].name and changed[1].name == places[1].name


@pytest.mark.parametrize("ids", [[34], [35], [34, 36], [36, 35], [999]])
def test_soft_tokens_that_are_not_whole_are_refused(ids):
    with pytest.raises(ValueError, match="ids"):
        SoftTokens(FACTS, TABLES).placed(ids, {}, {})


@pytest.mark.parametrize(
    "given", [{2: {}}, {0: {"image": [1.0]}}, {0: {"text": [1.0]}}, {0: {"audio": [float("nan")]}}]
)
def test_vectors_that_fit_no_slot_are_refused(given):
    with pytest.raises(ValueError, match="vectors"):
        SoftTokens(FACTS, TABLES).checked(given, items=2)
