"""Works that a catalogue lacks: known ones are left out, and what suits is drawn more often."""

from __future__ import annotations

import numpy as np

from recommender.conversations.outside import OutsideWorks
from recommender.conversations.wishes import Wish
from recommender.data.catalogue import Catalogue, Item
from tests.conversations.test_making import CATALOGUE, OUTSIDE


def test_works_of_the_catalogue_and_works_without_facts_are_left_out():
    table = Catalogue(
        [*OUTSIDE, Item("same", "The Baker (1970)", attributes=CATALOGUE[0].attributes), Item("bare", "Bare")]
    )
    assert [work.item_id for work in OutsideWorks(table, CATALOGUE).works] == [work.item_id for work in OUTSIDE]


def test_what_suits_is_drawn_more_often():
    works, random = OutsideWorks(OUTSIDE, CATALOGUE), np.random.default_rng(0)
    drawn = [works.draw(Wish(), ["Horror"], random) for _ in range(60)]
    horror = [n for n in range(6) if n % 4 == 2]
    assert np.isin(drawn, horror).mean() > 0.8
    assert OutsideWorks(Catalogue([]), CATALOGUE).draw(Wish(), [], random) is None
