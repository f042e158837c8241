"""Soft tokens of a prompt become placeholders with vectors beside them; what is incomplete or does not fit is refused."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from recommender.vllm_plugin.soft_tokens import (
    ITEM_KIND,
    NO_SOFT_TOKENS,
    SECTION,
    SoftFacts,
    SoftTokens,
    vectors_file,
)

FACTS = SoftFacts("LlamaForCausalLM", {"image": 2, "audio": 1}, tokens=2, first=30, item_scale=1.0)
TABLES = {"image": np.array([[1, 2, 1], [0, 0, 0]]), "audio": np.array([[3, 1], [4, 1]])}


def test_soft_tokens_become_placeholders_with_vectors_beside_them():
    soft = SoftTokens(FACTS, TABLES)
    tokens, places = soft.with_placeholders(
        [5, 34, 35, 36, 37, 7], {}, {}
    )  # item 1: two of its picture, two of its sound
    assert tokens == [5, 30, 30, 31, 31, 7]
    assert [(p.kind, p.offset, p.vector.tolist()) for p in places] == [
        ("image", 1, [[0, 0, 0]]),
        ("audio", 3, [[4, 1]]),
    ]
    overrides = soft.checked({1: {"image": [7, 8]}}, items=2)
    _, changed = soft.with_placeholders([5, 34, 35, 36, 37, 7], overrides, {1: 7})
    assert [(p.kind, p.offset, p.vector.tolist()) for p in changed] == [
        ("image", 1, [[7, 8, 1]]),
        ("audio", 3, [[4, 1]]),
        ("item", 5, [[7, 8, 1, 4, 1], [0, 0, 0, 4, 1]]),
    ]
    assert changed[0].name != places[0].name and changed[1].name == places[1].name


def test_a_kind_of_several_parts_has_soft_tokens_of_each():
    facts = replace(FACTS, parts={"image": 2})  # four of a picture, two of a sound
    assert [facts.slots(kind) for kind in facts.kinds] == [4, 2, 1]
    soft = SoftTokens(facts, TABLES)
    tokens, places = soft.with_placeholders([5, *range(36, 42), 7], {}, {})  # item 1
    assert tokens == [5, 30, 30, 30, 30, 31, 31, 7]
    assert [(p.kind, p.offset) for p in places] == [("image", 1), ("audio", 5)]
    for broken in ([36, 37, 40, 41], [40], [36, 37, 38]):
        with pytest.raises(ValueError, match="soft tokens"):
            soft.with_placeholders(broken, {}, {})


@pytest.mark.parametrize("ids", [[34], [35], [34, 36], [36, 35], [999], [-1, 5]])
def test_soft_tokens_that_are_not_whole_are_refused(ids):
    with pytest.raises(ValueError, match="ids"):
        SoftTokens(FACTS, TABLES).with_placeholders(ids, {}, {})


@pytest.mark.parametrize(
    "given", [{2: {}}, {0: {"image": [1.0]}}, {0: {"text": [1.0]}}, {0: {"audio": [float("nan")]}}]
)
def test_vectors_that_fit_no_slot_are_refused(given):
    with pytest.raises(ValueError, match="vectors"):
        SoftTokens(FACTS, TABLES).checked(given, items=2)


def test_facts_say_the_shapes_and_places_of_inputs():
    assert FACTS.kinds == ("image", "audio", ITEM_KIND) and NO_SOFT_TOKENS.kinds == ()
    assert FACTS.shape("image") == (1, 3) and FACTS.shape("audio") == (1, 2) and FACTS.shape(ITEM_KIND) == (2, 5)
    assert [FACTS.slots(kind) for kind in FACTS.kinds] == [2, 2, 1]
    assert [FACTS.placeholder(kind) for kind in ("image", "audio")] == [30, 31]


def test_a_folder_is_opened_with_its_vectors_or_without(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({SECTION: asdict(FACTS)}))
    for kind, table in TABLES.items():
        np.save(tmp_path / vectors_file(kind), table)
    opened = SoftTokens.open(tmp_path)
    assert opened.facts == FACTS and all(np.array_equal(opened.vectors[kind], TABLES[kind]) for kind in TABLES)
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 12}))  # one without a section, of earlier versions
    with pytest.raises(ValueError, match="12 is no token"):
        SoftTokens.open(tmp_path).with_placeholders([3, 12], {}, {})
    (tmp_path / "config.json").write_text("{}")
    plain = SoftTokens.open(tmp_path)
    assert plain.facts == NO_SOFT_TOKENS and plain.with_placeholders([3, 10**6], {}, {}) == ([3, 10**6], [])


def test_the_same_vector_has_the_same_name_and_another_has_another():
    soft = SoftTokens(FACTS, TABLES)

    def name(vector):
        (place,) = soft.with_placeholders([30, 31], soft.checked({0: {"image": vector}}, 2), {0: 6})[1]
        return place.name

    assert name([1.0, 2.0]) == name([1, 2]) != name([2.0, 1.0])


def test_items_with_a_table_of_their_own_are_told_by_their_numbers():
    facts = replace(FACTS, first=40, first_placeholder=20, items=18, first_item=22)
    assert facts.are_items(torch.tensor([21, 22, 39, 40])).tolist() == [False, True, True, False]
    assert facts.placeholder("audio") == 21 and not FACTS.are_items(torch.tensor([0, 30])).any()
    tokens, places = SoftTokens(facts, TABLES).with_placeholders([5, 23, 44, 45], {}, {})
    assert tokens == [5, 23, 20, 20] and places[0].offset == 2  # item 1: its number stays, its picture is beside
