"""Lists with chance: their probabilities are those of all lists counted out, and of lists drawn again and again."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from recommender.config import ExplorationConfig
from recommender.experiments.draws import generator, uniform
from recommender.experiments.policies import ListPolicy

SCORES = {"a": 1.0, "b": 0.5, "c": 0.2, "d": -1.0}
NEW = {"n": 0.0, "c": 1.0}


def policy(new=None, **settings):
    told = {"new_items": {"x": ["1"]}} if new else {}
    return ListPolicy(SCORES, ExplorationConfig(**settings, **told), new or {})


@pytest.mark.parametrize(
    ("made", "k"),
    [
        (policy(from_rank=1, temperature=0.7), 3),
        (policy(from_rank=2), 3),
        (policy(from_rank=2, new=NEW, new_item_slot=2, new_item_share=0.3), 3),
        (policy(new=NEW, new_item_slot=1, new_item_share=0.5), 2),
        (policy(new={"a": 1.0}, new_item_slot=2, new_item_share=0.5), 2),
    ],
)
def test_probabilities_add_up_over_all_lists_and_are_how_often_lists_are_drawn(made, k):
    lists = list(permutations({**SCORES, **NEW}, k))
    chance = {items: math.prod(made.probabilities(items)) for items in lists}
    assert sum(chance.values()) == pytest.approx(1)
    random, draws = np.random.default_rng(1), 4000
    drawn = [made.draw(k, random) for _ in range(draws)]
    counts = Counter(one.items for one in drawn)
    for one in drawn[:50]:
        assert one.probabilities == pytest.approx(made.probabilities(one.items)) and min(one.probabilities) > 0
    for items in lists:
        spread = math.sqrt(draws * chance[items] * (1 - chance[items]))
        assert abs(counts[items] - draws * chance[items]) <= 4.5 * spread + 1e-9, items


def test_a_draw_is_plackett_luce_as_gumbel_noise_makes_it():
    made, random, count = policy(from_rank=1, temperature=0.5), np.random.default_rng(0), 20_000
    names, values = list(SCORES), np.array(list(SCORES.values()))
    noisy = values / 0.5 + random.gumbel(size=(count, len(values)))
    orders = Counter(tuple(names[i] for i in row) for row in np.argsort(-noisy, axis=1))
    for order, seen in orders.items():
        chance = math.prod(made.probabilities(order))
        assert abs(seen / count - chance) <= 4.5 * math.sqrt(chance / count)


def test_without_exploration_a_list_is_the_ranking_and_short_ones_end():
    made = policy()
    assert made.draw(10, np.random.default_rng(0)).items == ("a", "b", "c", "d")
    assert made.probabilities(("a", "c")) == (1.0, 0.0)
    assert ListPolicy({}).draw(3, np.random.default_rng(0)).items == ()
    only_new = ListPolicy({}, ExplorationConfig(new_item_slot=1, new_items={"x": ["1"]}), {"n": 0.0})
    assert only_new.draw(2, np.random.default_rng(0)).probabilities == (1.0,)


def test_names_draw_the_same_again_and_others_something_else():
    one, again = (policy(from_rank=1).draw(4, generator("list", "id 1")) for _ in range(2))
    assert one == again
    assert len({policy(from_rank=1).draw(4, generator("list", f"id {n}")).items for n in range(30)}) > 5
    assert uniform("ab", "c") != uniform("a", "bc")
