"""The merged vocabulary: each word, code, item and soft token has one id, and examples are spelled with them."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.export.merge import TokenLayout
from recommender.export.projectors_export import placeholders

LAYOUTS = {
    "atomic": TokenLayout(words=50, codes=20, items=20, soft=3, codes_are_items=True),
    "three levels": TokenLayout(words=50, codes=12, items=20, soft=3, codes_are_items=False),
    "without soft tokens": TokenLayout(words=50, codes=12, items=20, soft=0, codes_are_items=False),
    "placeholders": TokenLayout(50, 20, 20, 3, True, ("<|image|>", "<|audio|>")),
    "items beside": TokenLayout(50, 12, 20, 3, False, ("<|image|>", "<|audio|>"), items_beside=True),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_row_behind_the_words_has_one_name(layout):
    names = layout.names()
    assert len(names) == len(set(names)) == layout.size - layout.words
    assert names[: layout.codes] == [f"<|code_{code}|>" for code in range(layout.codes)]
    if layout.items_beside:
        assert layout.first_item == layout.size == layout.first_soft - layout.items
    elif not layout.codes_are_items:
        assert names[layout.first_item - layout.words] == "<|item_0|>"
    if layout.soft and not layout.placeholders:
        assert names[layout.first_soft - layout.words] == "<|item_0_soft_0|>"


def test_a_model_has_the_layout_of_its_codes(make_checkpoint):
    for levels in (1, 3):
        model = make_checkpoint(levels).model
        layout = TokenLayout.of(model)
        assert layout.words == model.vocabulary and layout.codes == sum(model.ids.sizes)
        assert (layout.items, layout.soft, layout.codes_are_items) == (20, 3, levels == 1)


@pytest.mark.parametrize("levels", [1, 3])
def test_an_example_is_spelled_by_the_names_of_its_positions(make_checkpoint, levels):
    checkpoint = make_checkpoint(levels)
    layout, codes = TokenLayout.of(checkpoint.model), checkpoint.model.ids.codes
    example = checkpoint.builder.prompt([4, 9], titled=1)
    ids = layout.ids(example, codes)
    words = ids < layout.words
    assert np.array_equal(ids[words], example.tokens[words])
    names = [layout.names()[i - layout.words] for i in ids[~words]]
    items = [f"<|code_{codes[i, 0]}|>" if levels == 1 else f"<|item_{i}|>" for i in (4, 9)]
    assert names == [*(f"<|item_9_soft_{number}|>" for number in range(3)), *items]


def test_placeholders_leave_the_ids_of_soft_tokens_where_they_were(make_checkpoint):
    checkpoint = make_checkpoint()
    plain = TokenLayout.of(checkpoint.model)
    names = placeholders(checkpoint.model)
    assert names == ("<|image|>", "<|audio|>", "<|collaborative|>")
    held = TokenLayout(plain.words, plain.codes, plain.items, plain.soft, True, names)
    example = checkpoint.builder.prompt([4, 9], titled=2)
    assert np.array_equal(held.ids(example, checkpoint.model.ids.codes), plain.ids(example, checkpoint.model.ids.codes))
    assert held.size == plain.first_soft + 3 < plain.size


def test_items_that_have_a_table_of_their_own_are_numbers_behind_the_vocabulary(make_checkpoint):
    checkpoint = make_checkpoint(3)
    plain = TokenLayout.of(checkpoint.model)
    held = plain.served(placeholders(checkpoint.model))
    assert held.items_beside and held.size == plain.words + plain.codes + 3 == held.first_item
    example = checkpoint.builder.prompt([4, 9], titled=1)
    ours, theirs = (layout.ids(example, checkpoint.model.ids.codes) for layout in (plain, held))
    behind = ours >= plain.first_item
    assert np.array_equal(theirs, ours + 3 * behind) and (theirs[behind] >= held.size).all()
    atomic = TokenLayout.of(make_checkpoint().model).served(())
    assert not atomic.items_beside and atomic.first_placeholder == atomic.first_soft
