import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("cornac")

from recommender.baselines import FitData  # noqa: E402
from recommender.baselines.tiger import Tiger  # noqa: E402
from recommender.baselines.topk import rank_topk
from recommender.errors import DataError, RecommenderError  # noqa: E402

ITEMS = 10
SMALL = {"width": 32, "layers": 1, "codebook": 4, "history": 4, "learning_rate": 1e-2}


def walks():
    """The items stand on a circle, and every user walks around it from another place."""
    return [np.roll(np.arange(ITEMS), -start)[:6] for start in range(ITEMS)] * 4


def content():
    vectors = np.random.default_rng(1).standard_normal((ITEMS, 8)).astype(np.float32)
    return SimpleNamespace(texts=[""] * ITEMS, features=SimpleNamespace(vectors={"text": vectors}))


def fit(**given):
    made = Tiger(**SMALL | given)
    made.fit(FitData(walks(), ITEMS, content()))
    return made


@pytest.fixture(scope="module")
def tiger():
    return fit(epochs=12)


def test_the_next_item_of_a_circle_is_learnt(tiger):
    histories = [np.roll(np.arange(ITEMS), -start)[:3] for start in range(ITEMS)]
    found = rank_topk(tiger.scores(histories), histories, 1)[:, 0]
    assert (found == (np.arange(ITEMS) + 3) % ITEMS).mean() > 0.7


def test_items_outside_the_beam_are_not_ranked(tiger, monkeypatch):
    histories = [np.array([0, 1, 2])]
    everything = tiger.scores(histories)
    monkeypatch.setattr(tiger._model, "n_beams", 3)
    narrow = tiger.scores(histories)
    assert everything.dtype == np.float32 and np.isfinite(everything).all()
    assert np.isfinite(narrow).sum() == 3
    assert (rank_topk(narrow, histories, 5)[0] == -1).sum() >= 2


def test_an_empty_history_gets_what_is_popular(tiger):
    empty = np.array([], dtype=np.int64)
    popularity = np.bincount(np.concatenate(walks()), minlength=ITEMS)
    np.testing.assert_array_equal(tiger.scores([empty, np.array([3])])[0], popularity)


def test_the_same_seed_gives_the_same_scores():
    histories = walks()[:3]
    np.testing.assert_array_equal(fit(epochs=1).scores(histories), fit(epochs=1).scores(histories))


def test_what_is_missing_is_said(monkeypatch):
    with pytest.raises(DataError, match="content"):
        Tiger().fit(FitData(walks(), ITEMS))
    with pytest.raises(DataError, match="two items or more"):
        Tiger().fit(FitData([np.array([1])], ITEMS, content()))
    monkeypatch.setitem(sys.modules, "cornac", None)
    with pytest.raises(RecommenderError, match="cornac") as error:
        Tiger().fit(FitData(walks(), ITEMS, content()))
    assert "recommender[eval]" in error.value.hint
