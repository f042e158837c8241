"""Transitions and texts: the sums equal a count by hand, and each part finds what only it can know."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import FitData, ItemContent
from recommender.baselines.content import tfidf
from recommender.baselines.topk import rank_topk
from recommender.baselines.transitions import TransitionTfidf, standardised
from recommender.errors import DataError

ITEMS = 8
TEXTS = [f"word{item // 2} thing{item}" for item in range(ITEMS)]  # items resemble each other in pairs


def fitted(histories, texts=TEXTS, **settings):
    ranker = TransitionTfidf(**settings)
    ranker.fit(FitData(histories, len(texts), ItemContent(texts, lambda: pytest.fail("encoded"))))
    return ranker


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_a_count_by_hand(seed):
    generator = np.random.default_rng(seed)
    train = [generator.permutation(ITEMS)[: generator.integers(1, ITEMS)] for _ in range(20)]
    window, decay, backwards, powers, recency, share = 3, 2.0, 0.4, (0.5, 0.2), 1.5, 0.3
    steps, popularity = np.zeros((ITEMS, ITEMS)), np.zeros(ITEMS)
    for history in train:
        popularity[history] += 1
        for at, one in enumerate(history):
            for gap, other in enumerate(history[at + 1 : at + 1 + window], start=1):
                steps[one, other] += np.exp((1 - gap) / decay)
                steps[other, one] += backwards * np.exp((1 - gap) / decay)
    popularity = np.maximum(popularity, 1)
    steps /= popularity[:, None] ** powers[0] * popularity[None, :] ** powers[1]
    vectors = tfidf(TEXTS).toarray()
    asked = train[:6]
    expected = np.zeros((len(asked), ITEMS))
    for user, history in enumerate(asked):
        weights = np.exp(-np.arange(len(history))[::-1] / recency)
        taste = weights @ vectors[history]
        for part, amount in (
            (weights @ steps[history], 1 - share),
            (vectors @ taste / np.linalg.norm(taste), share),
        ):
            expected[user] += amount * (part - part.mean()) / (part.std() or 1)
    ranker = fitted(
        train, window=window, decay=decay, backwards=backwards, powers=powers, recency=recency, text_weight=share
    )
    np.testing.assert_allclose(ranker.scores(asked), expected, rtol=1e-3, atol=1e-4)


def test_what_followed_is_preferred_to_what_came_before():
    walks = [np.roll(np.arange(ITEMS), -start)[:5] for start in range(ITEMS)]
    ranker = fitted(walks, text_weight=0.0, window=1)
    assert rank_topk(ranker.scores([np.array([3])]), [np.array([3])], 2)[0].tolist() == [4, 2]


def test_an_item_nobody_has_seen_is_found_by_its_words():
    walks = [np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4])]  # nobody has seen 7, which resembles 6
    assert rank_topk(fitted(walks).scores([np.array([6])]), [np.array([6])], 1)[0, 0] == 7


def test_an_item_without_words_is_found_by_its_transitions():
    walks = [np.array([0, 5])] * 3 + [np.array([2, 1])]
    ranker = fitted(walks, texts=[""] * ITEMS)
    assert rank_topk(ranker.scores([np.array([0])]), [np.array([0])], 1)[0, 0] == 5


def test_a_history_of_nothing_gives_nothing():
    scores = fitted([np.array([0, 1])]).scores([np.array([], dtype=np.int64)])
    assert scores.shape == (1, ITEMS) and scores.dtype == np.float32 and not scores.any()


def test_standardised_scores_have_mean_zero_and_deviation_one_for_each_user():
    found = standardised(np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]]))
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(1), [1, 0], rtol=1e-6)


def test_without_content_it_says_so():
    with pytest.raises(DataError, match="transition-tfidf needs the items' content"):
        TransitionTfidf().fit(FitData([np.array([0, 1])], ITEMS))


def test_a_history_that_was_counted_is_asked_as_if_it_had_not_been():
    generator = np.random.default_rng(4)
    train = [generator.permutation(ITEMS)[: generator.integers(2, ITEMS)] for _ in range(20)]
    settings = {"window": 3, "decay": 2.0, "powers": (0.0, 0.0)}  # popularity alone stays that of everybody
    whole, asked = fitted(train, **settings), train[3]
    others = fitted([history for number, history in enumerate(train) if number != 3], **settings)
    views = whole.views_by_position(asked, ends=True)
    assert views.shape == (len(asked) + 1, ITEMS, 2) and not views[0].any()
    for place in range(1, len(asked) + 1):
        weights = np.exp(-np.arange(place)[::-1] / whole.recency)
        steps = weights @ others._steps.toarray()[asked[:place]]
        words = weights @ (others._words @ others._words.T).toarray()[asked[:place]]
        np.testing.assert_allclose(np.expm1(views[place]) / 20, np.stack([steps, words], 1), atol=1e-4)
    np.testing.assert_allclose(whole.views_by_position(asked), views[:-1], atol=1e-6)
