"""What sets the items of a code apart."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.semantic_ids import SemanticIds
from recommender.semantic_ids.code_meanings import code_meanings


def test_describe_names_what_sets_a_code_apart():
    items = [
        Item(str(i), f"Film {i}", attributes={"genres": ("Drama", "War") if i < 4 else ("Drama", "Comedy")})
        for i in range(12)
    ]
    vectors = np.array([[i < 4, i >= 4] for i in range(12)], dtype=np.float32)
    ids = SemanticIds.fit(vectors, 1, 2)
    meanings = ids.describe(Catalogue(items), level=0)
    war = meanings[int(ids.codes[0, 0])]
    assert [(trait.value, trait.items, trait.lift) for trait in war.traits] == [("War", 4, pytest.approx(3))]
    assert (war.items, war.titles) == (4, ("Film 0", "Film 1", "Film 2", "Film 3"))
    assert sum(meaning.items for meaning in meanings.values()) == 12


def test_what_all_items_have_is_no_trait_and_unused_codes_mean_nothing():
    catalogue = Catalogue(Item(str(i), f"Film {i}", attributes={"genres": ("Drama",)}) for i in range(3))
    meanings = code_meanings(np.array([2, 2, 0]), catalogue)
    assert sorted(meanings) == [0, 2]
    assert [(m.code, m.items, m.traits) for m in meanings.values()] == [(0, 1, ()), (2, 2, ())]


def test_traits_are_ordered_by_worth_and_at_most_as_many_as_asked_for():
    rows = [("War", "1940s"), ("War", "1950s"), ("Comedy", "1940s"), ("Comedy", "1990s")]
    catalogue = Catalogue(
        Item(str(i), f"Film {i}", attributes={"genre": (g,), "decade": (d,)}) for i, (g, d) in enumerate(rows)
    )
    war = code_meanings(np.array([0, 0, 1, 1]), catalogue)[0]
    # p(value | code) log lift: War 1 * log 2, the 1950s 0.5 * log 2, the 1940s 0.5 * log 1
    assert [(trait.attribute, trait.value) for trait in war.traits] == [("genre", "War"), ("decade", "1950s")]
    assert war.titles == ("Film 1", "Film 0")
    first = code_meanings(np.array([0, 0, 1, 1]), catalogue, most=1)[0]
    assert [trait.value for trait in first.traits] == ["War"] and first.titles == ("Film 0",)
