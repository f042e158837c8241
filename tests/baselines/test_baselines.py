from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.baselines import BASELINES, FitData, make_baseline, profiles
from recommender.baselines.baseline import strongest
from recommender.baselines.ease import Ease
from recommender.baselines.neighbours import ItemKNN, SequentialItemKNN, UserKNN
from recommender.baselines.ranking import rank_topk
from recommender.errors import DataError

ITEMS = 20
NAMES = [
    "popularity",
    "user-knn",
    "item-knn",
    "sequential-item-knn",
    "ease",
    "ease-decay",
]  # the others have files of their own
PERSONAL = NAMES[1:]


def checkerboard(users=60, seed=0):
    """Even users have seen most even items in some order, odd users most odd ones."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(np.arange(user % 2, ITEMS, 2))[:8] for user in range(users)]


def random_histories(seed, users=30, items=12):
    generator = np.random.default_rng(seed)
    return [generator.permutation(items)[: generator.integers(0, items)] for _ in range(users)]


def fit(name, train, items=ITEMS):
    ranker = BASELINES[name]()
    ranker.fit(FitData(train, items))
    return ranker


@pytest.mark.parametrize("name", PERSONAL)
def test_even_users_are_shown_the_even_items_they_miss(name):
    train = checkerboard()
    ranked = rank_topk(fit(name, train).scores(train), train, k=2)
    for user, row in enumerate(ranked):
        assert set(row) == set(range(user % 2, ITEMS, 2)) - set(train[user])


@pytest.mark.parametrize("name", PERSONAL)
def test_a_user_who_was_not_trained_on_is_served(name):
    ranked = rank_topk(fit(name, checkerboard()).scores([np.array([1, 3])]), [np.array([1, 3])], k=8)
    assert set(ranked[0]) == set(range(5, ITEMS, 2))


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_float32_for_every_item(name):
    histories = [np.array([0, 2]), np.array([], dtype=np.int64), np.array([19])]
    scores = fit(name, checkerboard()).scores(histories)
    assert scores.shape == (3, ITEMS) and scores.dtype == np.float32
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_batches_and_fits_are_repeatable(name):
    train = checkerboard()
    together = fit(name, train).scores(train)
    apart = np.concatenate([fit(name, train).scores([history]) for history in train[:4]])
    np.testing.assert_allclose(together[:4], apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_items_nobody_has_seen_get_no_better_than_the_seen_ones(name):
    train = checkerboard()
    scores = fit(name, train, items=ITEMS + 3).scores(train[:2])
    assert (scores[:, ITEMS:] <= scores[:, :ITEMS].max(axis=1, keepdims=True)).all()
    assert np.isfinite(scores).all()


def test_the_name_of_a_baseline_is_its_key():
    assert all(make().name == name for name, make in BASELINES.items())


def test_popularity_counts_users_not_events():
    train = [np.array([1, 1, 1]), np.array([2]), np.array([2, 0])]
    np.testing.assert_array_equal(fit("popularity", train, 4).scores([np.array([0])]), [[1, 1, 2, 0]])


def test_profiles_weigh_a_repeated_item_at_its_latest_place():
    rows = profiles([np.array([5, 2, 5, 7]), np.array([], dtype=np.int64)], 8, decay=2.0).toarray()
    expected = np.zeros((2, 8))
    expected[0, [7, 5, 2]] = np.exp([0, -1 / 2, -2 / 2])
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_item_knn_equals_a_brute_force_count(seed):
    train, items = random_histories(seed), 12
    users = [{user for user, history in enumerate(train) if item in history} for item in range(items)]
    expected = np.zeros((len(train), items))
    for user, history in enumerate(train):
        for candidate in range(items):
            for seen in history:
                if seen != candidate and users[seen] and users[candidate]:
                    root = (len(users[seen]) * len(users[candidate])) ** 0.5
                    expected[user, candidate] += len(users[seen] & users[candidate]) / root
    ranker = ItemKNN()
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_user_knn_equals_a_brute_force_count(seed):
    train, items, neighbours, decay = random_histories(seed), 12, 4, 3.0
    rows = profiles(train, items, decay).toarray().astype(np.float64)
    rows[[len(history) == 0 for history in train]] = 0
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    near = unit[:10] @ unit.T
    expected = np.zeros((10, items))
    for user in range(10):
        for other in np.argsort(-near[user], kind="stable")[:neighbours]:
            expected[user] += near[user, other] * rows[other]
    ranker = UserKNN(neighbours, decay)
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train[:10]), expected, rtol=1e-3, atol=1e-5)


def test_the_strongest_entries_of_each_row_are_kept():
    dense = np.array([[0, 3, 1, 2], [5, 0, 0, 0], [0, 0, 0, 0], [4, 4, 4, 9]], dtype=np.float32)
    kept = strongest(sp.csr_array(dense), 2).toarray()
    np.testing.assert_array_equal(kept, [[0, 3, 0, 2], [5, 0, 0, 0], [0, 0, 0, 0], [4, 0, 0, 9]])


def test_heavy_libraries_wait_until_a_baseline_is_asked_for():
    code = "import sys; from recommender.baselines import BASELINES; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "sklearn", "implicit", "cornac"} & set(loaded)


@pytest.mark.parametrize("seed", range(3))
def test_sequential_item_knn_equals_a_brute_force_count(seed):
    train, items, window, decay = random_histories(seed), 12, 3, 2.0
    near, popularity = np.zeros((items, items)), np.zeros(items)
    for history in train:
        popularity[history] += 1
        for at, one in enumerate(history):
            for gap in range(1, window + 1):
                if at + gap < len(history):
                    near[one, history[at + gap]] += np.exp(-gap / decay)
                    near[history[at + gap], one] += np.exp(-gap / decay)
    expected = np.zeros((len(train), items))
    for user, history in enumerate(train):
        for age, seen in enumerate(reversed(history)):
            for candidate in range(items):
                root = max(popularity[seen] * popularity[candidate], 1) ** 0.5
                expected[user, candidate] += np.exp(-age / decay) * near[seen, candidate] / root
    ranker = SequentialItemKNN(window, decay)
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train), expected, rtol=1e-4, atol=1e-5)


def test_sequential_item_knn_goes_on_from_the_end_of_the_history_where_item_knn_sees_no_order():
    walks = [np.roll(np.arange(12), -start)[:9] for start in range(12)]
    forth, back = [np.array([0, 1, 2])], [np.array([2, 1, 0])]
    ranker, blind = SequentialItemKNN(window=2), ItemKNN()
    ranker.fit(FitData(walks, 12))
    blind.fit(FitData(walks, 12))
    assert rank_topk(ranker.scores(forth), forth, 1)[0, 0] == 3
    assert rank_topk(ranker.scores(back), back, 1)[0, 0] == 11
    np.testing.assert_array_equal(blind.scores(forth), blind.scores(back))


@pytest.mark.parametrize("name", ["sequential-item-knn", "ease-decay"])
def test_recent_taste_outweighs_old_taste(name):
    ranker = fit(name, checkerboard())
    turned = [np.concatenate([np.arange(1, 16, 2), np.arange(0, 10, 2)])]
    assert rank_topk(ranker.scores(turned), turned, 1)[0, 0] % 2 == 0
    turned = [turned[0][::-1]]
    assert rank_topk(ranker.scores(turned), turned, 1)[0, 0] % 2 == 1


@pytest.mark.parametrize("seed", range(3))
def test_ease_solves_its_regression(seed):
    train, items, strength = random_histories(seed), 12, 3.0
    seen = profiles(train, items).toarray().astype(np.float64)
    weights = np.zeros((items, items))
    for item in range(items):  # ridge regression of each item on all others, one at a time
        rest = np.delete(np.arange(items), item)
        gram = seen[:, rest].T @ seen[:, rest] + strength * np.eye(len(rest))
        weights[rest, item] = np.linalg.solve(gram, seen[:, rest].T @ seen[:, item])
    ranker = Ease("ease", strength)
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train), seen @ weights, rtol=1e-3, atol=1e-4)


def test_a_baseline_takes_settings_in_its_name():
    one = make_baseline("sequential-item-knn:window=10:decay=3")
    assert (one.window, one.decay) == (10, 3)
    assert make_baseline("ease-decay:decay=null").decay is None
    assert (make_baseline("ease-decay").decay, make_baseline("ease-decay").name) == (8.0, "ease-decay")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("easy", "ease"),
        ("ease:decline=3", "regularisation, decay"),
        ("ease:decay=soon", "a number"),
        ("sequential-item-knn:window=2.5", "a whole number"),
        ("popularity:window=3", "none at all"),
    ],
)
def test_wrong_settings_are_refused(text, told):
    with pytest.raises(DataError) as caught:
        make_baseline(text)
    assert told in f"{caught.value.message} {caught.value.hint}"
