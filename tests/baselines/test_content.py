"""ItemContent baselines: what resembles the history is ranked first, by words or by vectors, whoever liked it."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import BASELINES, FitData, ItemContent
from recommender.baselines.content import TfidfContent, VectorContent, concatenated_vectors, tfidf
from recommender.baselines.topk import rank_topk
from recommender.encoders.features import Features
from recommender.errors import DataError

TEXTS = ["red river song", "red river tale", "blue night song", "blue night tale", "", "blue blue night"]
ITEMS = len(TEXTS)
NOBODY = [np.array([0], dtype=np.int64)]  # content baselines learn nothing from histories


def features():
    text, image = np.zeros((ITEMS, 3), np.float32), np.zeros((ITEMS, 2), np.float32)
    text[[0, 1]] = [5, 0, 0], [4, 1, 0]
    text[[2, 3]] = [0, 0, 2], [0, 1, 2]
    image[[0, 5]] = [0, 9], [0, 1]
    return Features(
        {"text": text, "image": image, "collaborative": np.ones((ITEMS, 4), np.float32)},
        {"text": text.any(1), "image": image.any(1), "collaborative": np.ones(ITEMS, bool)},
    )


def data(texts=TEXTS):
    return FitData(NOBODY, len(texts), ItemContent(texts, features))


def fitted(ranker):
    ranker.fit(data())
    return ranker


def test_tfidf_rows_have_length_one_and_those_of_empty_texts_are_zero():
    lengths = np.sqrt((tfidf(TEXTS).toarray() ** 2).sum(1))
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 0, 1], rtol=1e-5)


def test_texts_without_any_word_are_vectors_of_zero():
    assert tfidf(["", "? !"]).toarray().sum() == 0


def test_items_with_the_same_rare_words_come_first():
    ranker = fitted(TfidfContent())
    assert rank_topk(ranker.scores([np.array([0])]), [np.array([0])], 1)[0, 0] == 1
    assert set(rank_topk(ranker.scores([np.array([2])]), [np.array([2])], 2)[0]) == {3, 5}


def test_tfidf_scores_are_cosines_of_the_weighted_history():
    decay, history = 2.0, np.array([0, 3])
    vectors = tfidf(TEXTS).toarray()
    taste = np.exp(-1 / decay) * vectors[0] + vectors[3]
    scores = fitted(TfidfContent(decay)).scores([history])
    np.testing.assert_allclose(scores[0], vectors @ taste / np.linalg.norm(taste), rtol=1e-5)


def test_vectors_of_each_modality_weigh_the_same_and_collaborative_ones_do_not_count():
    beside = concatenated_vectors(data(), "vector-content")
    assert beside.shape == (ITEMS, 5)
    np.testing.assert_allclose(np.linalg.norm(beside[:, :3], axis=1), [1, 1, 1, 1, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(beside[:, 3:], axis=1), [1, 0, 0, 0, 0, 1], rtol=1e-6)


def test_vector_content_ranks_by_text_and_image_together():
    scores = fitted(VectorContent()).scores([np.array([0])])[0]
    expected = [1, 4 / np.sqrt(17) / np.sqrt(2), 0, 0, 0, 1 / np.sqrt(2)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("make", [TfidfContent, VectorContent])
def test_recent_items_weigh_more_and_an_empty_history_says_nothing(make):
    ranker = fitted(make(decay=1.0))
    forth, back = ranker.scores([np.array([0, 2]), np.array([2, 0])])
    assert forth[3] > forth[1] and back[1] > back[3]
    empty = ranker.scores([np.array([], dtype=np.int64)])
    assert empty.dtype == np.float32 and not empty.any()


@pytest.mark.parametrize("make", [TfidfContent, VectorContent])
def test_without_content_the_baseline_is_named(make):
    with pytest.raises(DataError, match=f"{make.name} needs the items' content"):
        make().fit(FitData(NOBODY, ITEMS))


def test_words_need_no_vectors():
    def never():
        raise AssertionError("encoded")

    TfidfContent().fit(FitData(NOBODY, ITEMS, ItemContent(TEXTS, never)))


@pytest.mark.parametrize("name", ["sasrec-vectors", "two-tower", "tiger"])
def test_a_catalogue_without_text_vectors_is_told_to_baselines_that_need_them(name):
    content = ItemContent(["a", "b", "c"], lambda: Features({}, {}))
    with pytest.raises(DataError, match=f"{name} needs the items' text vectors") as error:
        BASELINES[name]().fit(FitData([np.array([0, 1, 2]), np.array([2, 1])], 3, content))
    assert "encoders.text" in error.value.hint
