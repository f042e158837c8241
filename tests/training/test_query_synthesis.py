"""Wishes in words: what they ask for is true of the items that are said to meet them."""

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.training.query_synthesis import Wisher


@pytest.fixture
def wisher(catalogue) -> Wisher:
    return Wisher(catalogue, "films")


def test_a_wish_names_its_value_and_is_met_by_whoever_has_it(wisher, catalogue):
    random = np.random.default_rng(0)
    for item in range(len(catalogue)):
        wish = wisher.wish(item, random)
        assert wish.value in wish.text
        assert wish.met[item]
        for other in np.flatnonzero(wish.met):
            facts = wisher.facts[other]
            assert (wish.name, wish.value) in facts
        assert wish.met.sum() == sum((wish.name, wish.value) in facts for facts in wisher.facts)


def test_drawn_wishes_are_met_by_an_item_of_the_history(wisher):
    history, random = np.array([3, 4, 11]), np.random.default_rng(1)
    texts = set()
    for _ in range(60):
        text, met = wisher.draw(history, random)
        assert met.shape == (3,) and met.any()
        texts.add(text)
    assert len(texts) > 20


def test_the_same_generator_draws_the_same_wishes(wisher):
    drawn = [[wisher.draw(np.arange(6), np.random.default_rng(n))[0] for n in range(9)] for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_a_description_is_quoted_and_met_by_its_item_alone():
    plot = "A clockmaker finds a map. " + " ".join(f"word{n}" for n in range(40)) + "."
    wisher = Wisher(Catalogue([Item(item_id="1", title="One", text=plot), Item(item_id="2", title="Two")]), "films")
    random = np.random.default_rng(0)
    quoted = [wish for wish in (wisher.wish(0, random) for _ in range(40)) if wish is not None]
    assert quoted and all(wish.value in plot and wish.met.tolist() == [True, False] for wish in quoted)
    assert max(len(wish.value.split()) for wish in quoted) == 12


def test_of_an_item_of_which_nothing_is_known_nothing_is_wished():
    wisher = Wisher(Catalogue([Item(item_id="1", title="One")]), "films")
    assert wisher.wish(0, np.random.default_rng(0)) is None
    assert wisher.draw(np.array([0]), np.random.default_rng(0)) is None
