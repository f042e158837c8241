from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.metrics import jaccard_score

from recommender.eval.beyond_accuracy import (
    Attributes,
    ItemFacts,
    beyond_accuracy_per_user,
    calibration,
    cosine,
    intra_list_distance,
    jaccard,
    js_divergence,
    kl_divergence,
)

ITEMS, VALUES, KS = 30, 6, (2, 5, 10)


def world(seed, users=8):
    """Values of items (some have none), lists of any length, histories."""
    generator = np.random.default_rng(seed)
    table = (generator.random((ITEMS, VALUES)) < 0.3).astype(float)
    ranked = np.full((users, 10), -1)
    for row in ranked:
        length = generator.integers(0, 11)
        row[:length] = generator.permutation(ITEMS)[:length]
    histories = [generator.integers(0, ITEMS, size=generator.integers(0, 15)) for _ in range(users)]
    return table, ranked, histories


def mean_share(items, table):
    """Steck's distribution of an items' list, by hand."""
    rows = [table[i] / table[i].sum() for i in items if i >= 0 and table[i].any()]
    return np.mean(rows, axis=0) if rows else np.full(VALUES, np.nan)


@pytest.mark.parametrize("seed", range(5))
def test_diversity_is_the_mean_jaccard_distance_of_all_pairs(seed):
    table, ranked, _ = world(seed)
    found = intra_list_distance(ranked, KS, jaccard(sp.csr_array(table)))
    for k in KS:
        for row, value in zip(ranked, found[k], strict=True):
            having = [i for i in row[:k] if i >= 0 and table[i].any()]
            pairs = [1 - jaccard_score(table[a], table[b]) for a, b in combinations(having, 2)]
            np.testing.assert_allclose(value, np.mean(pairs) if pairs else np.nan)


def test_content_diversity_is_the_mean_cosine_distance():
    vectors = np.array([[1, 0], [0, 2], [3, 3], [0, 0], [-1, 0]], dtype=np.float32)
    found = intra_list_distance(np.array([[0, 1, 2], [0, 4, -1], [0, 3, -1]]), (2, 3), cosine(vectors))
    half = 1 - np.sqrt(0.5)
    np.testing.assert_allclose(found[2], [1, 2, np.nan], atol=1e-6)  # an item without a vector cannot be compared
    np.testing.assert_allclose(found[3], [(1 + half + half) / 3, 2, np.nan], atol=1e-6)


def test_lists_of_one_kind_have_no_diversity_and_of_all_kinds_have_one():
    table = sp.csr_array(np.eye(3)[[0, 0, 0, 1, 2]])
    found = intra_list_distance(np.array([[0, 1, 2], [0, 3, 4]]), (3, 20), jaccard(table))
    assert found[3].tolist() == [0, 1] and found[20].tolist() == [0, 1]  # a k beyond the list: what is there


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 5, 10])
def test_calibration_is_the_divergence_of_the_mean_shares(seed, k):
    table, ranked, histories = world(seed)
    kl = calibration(ranked, histories, sp.csr_array(table), k, kl_divergence)
    js = calibration(ranked, histories, sp.csr_array(table), k, js_divergence)
    for user, (row, history) in enumerate(zip(ranked, histories, strict=True)):
        p, q = mean_share(history, table), mean_share(row[:k], table)
        np.testing.assert_allclose(kl[user], entropy(p, 0.99 * q + 0.01 * p, base=2), atol=1e-9)
        np.testing.assert_allclose(js[user], jensenshannon(p, q, base=2) ** 2, atol=1e-9)


def test_a_list_that_mirrors_the_history_is_calibrated_and_its_opposite_is_not():
    table = sp.csr_array(np.eye(2)[[0, 1, 0, 1]])
    histories, ranked = [np.array([0, 1]), np.array([0])], np.array([[2, 3], [1, 3]])
    assert calibration(ranked, histories, table, 2, kl_divergence).tolist() == [0, pytest.approx(np.log2(100))]
    assert calibration(ranked, histories, table, 2, js_divergence).tolist() == [0, 1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_bounds_hold_and_what_is_undefined_is_nan(seed):
    table, ranked, histories = world(seed, users=4)
    facts = ItemFacts(Attributes("genres", sp.csr_array(table)), table)
    for (name, k), column in beyond_accuracy_per_user(ranked, histories, facts, (1, *KS)).items():
        defined = column[~np.isnan(column)]
        assert column.shape == (4,) and (defined >= 0).all()
        assert name == "calibration_kl" or (defined <= 1 + 1e-9).all()
        assert k > 1 or name.startswith("calibration")  # one item makes no pair
    empty = [len(history) == 0 for history in histories]
    assert np.isnan(beyond_accuracy_per_user(ranked, histories, facts, (5,))["calibration_js", 5][empty]).all()


def test_only_what_is_known_is_measured():
    ranked, histories = np.array([[0, 1]]), [np.array([2])]
    assert beyond_accuracy_per_user(ranked, histories, ItemFacts(), (2,)) == {}
    assert set(beyond_accuracy_per_user(ranked, histories, ItemFacts(vectors=np.eye(3)), (2,))) == {
        ("content_diversity", 2)
    }


def test_many_users_are_measured_like_each_alone():
    table, ranked, histories = world(1, users=1100)
    whole = calibration(ranked, histories, sp.csr_array(table), 10, kl_divergence)
    for user in (0, 511, 512, 1099):
        one = calibration(ranked[[user]], [histories[user]], sp.csr_array(table), 10, kl_divergence)
        np.testing.assert_allclose(whole[user], one[0])
