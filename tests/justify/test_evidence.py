"""Evidence: what the score loses without a history item, and the facts and passages that items share."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import (
    Evidence,
    find_evidence,
)
from recommender.justify.companions import Companions
from recommender.justify.evidence import shapley_values, shared_facts, shared_passages
from tests.justify.films import CATALOGUE


def weights(table):
    """A scorer: an item's score is the sum of what each distinct history item adds to it."""
    calls = []

    def score(histories, candidates):
        calls.append(len(histories))
        return np.array(
            [[sum(table.get((h, c), 0.0) for h in set(map(int, hist))) for c in candidates] for hist in histories]
        )

    return score, calls


def test_evidence_is_what_the_score_loses():
    score, calls = weights({(1, 0): 2.0, (2, 0): 3.0, (3, 0): -1.0, (3, 4): 0.5})
    first, second = find_evidence(CATALOGUE, np.array([1, 2, 3]), [0, 4], score, window=10, most=2)
    assert calls == [4]
    assert [(i.item, i.effect) for i in first.influences] == [(2, 3.0), (1, 2.0)]
    assert [(i.item, i.effect) for i in second.influences] == [(3, 0.5)]


def test_evidence_keeps_to_window_and_most():
    score, _ = weights({(1, 0): 2.0, (2, 0): 3.0, (3, 0): 1.0})
    history = np.array([2, 1, 3])
    assert [i.item for i in find_evidence(CATALOGUE, history, [0], score, window=2, most=5)[0].influences] == [1, 3]
    assert [i.item for i in find_evidence(CATALOGUE, history, [0], score, window=3, most=1)[0].influences] == [2]


def test_a_repeated_item_is_removed_everywhere():
    score, calls = weights({(1, 0): 2.0})
    found = find_evidence(CATALOGUE, np.array([1, 2, 1]), [0], score, window=3, most=3)[0]
    assert [(i.item, i.effect) for i in found.influences] == [(1, 2.0)]
    assert calls == [3]


def pairs(histories, candidates):
    """Items 1 and 2 are worth 3 to item 0 if either is there, item 3 is worth 1; each alone adds nothing to the other."""
    return np.array([[3.0 * bool({1, 2} & set(h.tolist())) + (3 in h) for _ in candidates] for h in histories])


def test_shapley_values_share_what_deletion_credits_to_nobody():
    history = np.array([4, 1, 2, 3, 1])
    deleted = find_evidence(CATALOGUE, history, [0], pairs, window=4, most=5)[0].influences
    assert [(i.item, i.effect) for i in deleted] == [(3, 1.0)]
    shared = find_evidence(CATALOGUE, history, [0], pairs, window=4, most=5, orders=2)[0].influences
    assert {i.item: i.effect for i in shared} == pytest.approx({1: 1.5, 2: 1.5, 3: 1.0})
    for orders in (1, 3, 8):
        effects = shapley_values(history, [1, 2, 3], [0, 4], pairs, orders)
        np.testing.assert_allclose(effects.sum(0), [4.0, 4.0])  # what all of them add together
        np.testing.assert_array_equal(effects, shapley_values(history, [1, 2, 3], [0, 4], pairs, orders))


def test_no_influence_is_invented():
    score, _ = weights({(1, 0): -2.0, (2, 0): 1e-6})
    assert find_evidence(CATALOGUE, np.array([1, 2]), [0], score, 5, 2) == [Evidence(0)]
    never, calls = weights({})
    assert find_evidence(CATALOGUE, np.array([], dtype=np.int64), [0, 1], never, 5, 2) == [
        Evidence(0),
        Evidence(1),
    ]
    assert find_evidence(CATALOGUE, np.array([1]), [], never, 5, 2) == []
    assert calls == []


def test_scores_that_are_no_numbers_are_no_evidence():
    def score(histories, candidates):
        return np.array([[-np.inf] * len(candidates)] * len(histories))

    with np.errstate(invalid="ignore"):
        assert find_evidence(CATALOGUE, np.array([1, 2]), [0], score, 5, 2) == [Evidence(0)]


def test_shared_facts_hold_for_the_items_they_name():
    facts = {(f.name, f.value): f.items for f in shared_facts(CATALOGUE, 0, [1, 2, 3])}
    assert facts == {("genres", "Sci-Fi"): (1, 2), ("year", "1986"): (3,), ("decade", "1980s"): (2, 3)}


def test_a_year_at_the_end_of_a_title_counts():
    catalogue = Catalogue([Item("1", "Jaws (1975)"), Item("2", "Carrie (1976)")])
    assert [(f.name, f.value) for f in shared_facts(catalogue, 0, [1])] == [("decade", "1970s")]


def test_passages_are_runs_of_words_that_texts_share():
    texts = (
        "A crew in deep space meets an unknown creature.",
        "Far out in deep space, meets nobody. A crew in deep Space meets its end.",
        "An unknown creature of the lake.",
        "It is the one that is in it.",
        "",
    )
    catalogue = Catalogue(Item(str(n), f"Film {n}", text) for n, text in enumerate(texts))
    found = shared_passages(catalogue, 0, [1, 2, 3, 4])
    assert [(p.value, p.items) for p in found] == [("A crew in deep space meets", (1,)), ("an unknown creature", (2,))]
    assert shared_passages(catalogue, 4, [0, 1]) == ()


def test_companions_are_those_of_the_influences():
    companions = Companions(np.array([[3, 1], [-1, -1], [-1, -1], [0, -1], [-1, -1]]), np.full((5, 2), 9))

    def score(histories, candidates):
        return np.array([[len(set(h.tolist()) & {1, 2, 3}) for _ in candidates] for h in histories], np.float64)

    history = np.array([1, 2, 3])
    first, second = find_evidence(CATALOGUE, history, [0, 4], score, 5, 3, companions=companions)
    assert set(first.companions) == {(1, 9), (3, 9)} and second.companions == ()
    assert first.influences and second.influences
    assert find_evidence(CATALOGUE, history, [0], score, 5, 3)[0].companions == ()


@pytest.mark.parametrize("orders", [0, 4])
def test_what_the_reader_dislikes_is_no_reason(orders):
    def score(histories, candidates):
        return np.array([[len(h) for _ in candidates] for h in histories], np.float64)

    history = np.array([1, 2, 3])
    found = find_evidence(CATALOGUE, history, [0], score, 5, 3, orders, disliked=[2])[0]
    assert sorted(influence.item for influence in found.influences) == [1, 3]
    assert find_evidence(CATALOGUE, history, [0], score, 5, 3, orders, disliked=[1, 2, 3]) == [Evidence(0)]
    # it does not use up the window
    assert [
        i.item for i in find_evidence(CATALOGUE, history, [0], score, 1, 3, orders, disliked=[3])[0].influences
    ] == [2]
