"""Team draft: both rankings have as many items, neither is favoured, and the better one wins."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recommender.experiments.interleaving import FIRST, SECOND, credit, team_draft

ONE, OTHER = list("abcdef"), list("cbxyza")


def test_each_contributes_its_best_and_as_many_as_the_other():
    random = np.random.default_rng(0)
    for _ in range(200):
        made = team_draft(ONE, OTHER, 6, random)
        assert len(set(made.items)) == 6 and made.teams.count(FIRST) == made.teams.count(SECOND) == 3
        for place, (item, team) in enumerate(zip(made.items, made.teams, strict=True)):
            ranking = (ONE, OTHER)[team]
            assert item == next(each for each in ranking if each not in made.items[:place])


def test_probabilities_are_how_often_an_item_stands_there():
    random, count = np.random.default_rng(0), 4000
    made = [team_draft(list("abc"), list("xyz"), 3, random) for _ in range(count)]
    seen = Counter((one.items, one.teams) for one in made)
    chance = {(one.items, one.teams): np.prod(one.probabilities) for one in made}
    assert sum(chance.values()) == pytest.approx(1)
    for key, times in seen.items():
        assert abs(times / count - chance[key]) < 4.5 * np.sqrt(chance[key] / count)


def test_short_and_equal_rankings():
    random = np.random.default_rng(0)
    assert team_draft([], [], 3, random).items == ()
    assert team_draft(["a"], ["a"], 3, random).items == ("a",)
    made = team_draft(["a"], ["b", "c", "d"], 4, random)
    assert sorted(made.items) == list("abcd")
    same = team_draft(ONE, ONE, 6, random)
    assert list(same.items) == ONE and set(same.probabilities) == {1.0}


def test_credit_counts_taken_items_once_and_ties_are_nobodys():
    teams = (FIRST, SECOND, SECOND, FIRST)
    assert [credit(teams, taken) for taken in ([], [0], [1], [0, 1], [1, 2, 0], [1, 1])] == [0, -1, 1, 0, 1, 1]


def test_chance_favours_nobody_when_takes_are_blind_and_the_better_when_not():
    random = np.random.default_rng(3)
    blind, seeing = [], []
    for _ in range(3000):
        made = team_draft(ONE, OTHER, 4, random)
        blind.append(credit(made.teams, [int(random.integers(4))]))
        seeing.append(credit(made.teams, [place for place, item in enumerate(made.items) if item in "xy"]))
    assert abs(np.mean(blind)) < 4.5 / np.sqrt(3000) and np.mean(seeing) > 0.4
