from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recommender.baselines import FitData
from recommender.baselines.next_item import Schedule
from recommender.baselines.ranking import rank_topk
from recommender.baselines.sasrec import Sequential, Transformer, dropout_for
from recommender.baselines.two_tower import Towers, TwoTower
from recommender.errors import DataError

ITEMS = 12
QUICK = Schedule(length=10, places=64, epochs=15, learning_rate=1e-2, patience=15)
SMALL = {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0, "negatives": 8}


def walks():
    """The items stand on a circle, and every user walks around it from another place."""
    return [np.roll(np.arange(ITEMS), -start)[: 6 + start % 5] for start in range(ITEMS)] * 4


def content():
    """Text vectors of random items, no two alike."""
    vectors = np.random.default_rng(1).standard_normal((ITEMS, 8)).astype(np.float32)
    return SimpleNamespace(texts=[""] * ITEMS, features=SimpleNamespace(vectors={"text": vectors}))


def data(histories=None, **given):
    return FitData(walks() if histories is None else histories, ITEMS, content(), **given)


MAKERS = {
    "sasrec": lambda **given: Sequential("sasrec", "softmax", **given),
    "sasrec-bce": lambda **given: Sequential("sasrec-bce", "binary", **given),
    "sasrec-sampled": lambda **given: Sequential("sasrec-sampled", "sampled", **given),
    "gsasrec": lambda **given: Sequential("gsasrec", "gbce", **given),
    "sasrec-vectors": lambda **given: Sequential("sasrec-vectors", vectors=True, **given),
}


def small(name, schedule=QUICK):
    if name == "two-tower":
        return TwoTower(width=16, hidden=32, decays=(0.5, 4.0), dropout=0.0, schedule=schedule)
    return MAKERS[name](schedule=schedule, **SMALL)


@pytest.fixture(scope="module", params=[*MAKERS, "two-tower"])
def ranker(request):
    made = small(request.param)
    made.fit(data())
    return made


def test_the_next_item_of_a_circle_is_learnt(ranker):
    # neither these histories nor their lengths were trained on
    histories = [np.roll(np.arange(ITEMS), -start)[:3] for start in range(ITEMS)]
    found = rank_topk(ranker.scores(histories), histories, 1)[:, 0]
    assert (found == (np.arange(ITEMS) + 3) % ITEMS).mean() > 0.7


def test_scores_are_finite_float32_whatever_the_history(ranker):
    histories = [np.array([], dtype=np.int64), np.array([3]), np.tile(np.arange(ITEMS), 5)]
    scores = ranker.scores(histories)
    assert scores.shape == (3, ITEMS) and scores.dtype == np.float32 and np.isfinite(scores).all()


def test_what_stands_beside_a_history_does_not_change_its_scores(ranker):
    histories = [np.array([5]), np.arange(9), np.array([], dtype=np.int64), np.arange(4)]
    alone = np.concatenate([ranker.scores([history]) for history in histories])
    np.testing.assert_allclose(ranker.scores(histories), alone, rtol=1e-4, atol=1e-4)


def test_only_the_last_items_that_fit_the_window_count(ranker):
    long = np.tile(np.arange(ITEMS), 3)
    np.testing.assert_allclose(ranker.scores([long]), ranker.scores([long[-9:]]), rtol=1e-5)


@pytest.mark.parametrize("name", ["sasrec-bce", "gsasrec", "sasrec-vectors", "two-tower"])
def test_the_same_seed_gives_the_same_scores_and_the_generator_of_torch_is_left_alone(name):
    short = Schedule(length=10, places=128, epochs=2)
    torch.manual_seed(11)
    before, found = torch.random.get_rng_state(), []
    for seed in (0, 0, 1):
        made = small(name, short)
        made.fit(data(seed=seed))
        found.append(made.scores(walks()[:5]))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_training_stops_when_validation_no_longer_improves():
    told = []
    schedule = Schedule(length=10, places=128, epochs=60, learning_rate=1e-2, patience=2)
    made = small("sasrec", schedule)
    made.fit(data(progress=lambda what, done, total: told.append((what, done, total))))
    values = [float(what.split()[-1]) for what, *_ in told]
    assert len(told) < 60 and [done for _, done, _ in told] == list(range(1, len(told) + 1))
    assert max(values[:-2]) >= max(values[-2:])


def test_the_held_out_item_is_not_learnt():
    """Item 11 is the last one of every history and stands nowhere else: nothing but its own row's start tells of it."""
    histories = [np.append(np.roll(np.arange(ITEMS - 1), -start)[:8], ITEMS - 1) for start in range(ITEMS - 1)] * 4
    made = small("sasrec")
    made.fit(data(histories))
    scores = made.scores([history[:-1] for history in histories])
    assert (scores[:, ITEMS - 1] < scores[:, : ITEMS - 1].max(1)).all()


@pytest.mark.parametrize("name", ["sasrec-vectors", "two-tower"])
def test_what_reads_content_says_so_where_there_is_none(name):
    with pytest.raises(DataError, match=f"{name} needs the items' content"):
        small(name).fit(FitData(walks(), ITEMS))


def test_histories_of_one_item_leave_nothing_to_validate_on():
    with pytest.raises(DataError, match="two items or more"):
        small("sasrec").fit(data([np.array([1]), np.array([2])]))


def test_a_state_does_not_see_what_comes_later():
    torch.manual_seed(0)
    inputs = torch.tensor([[-1, 3, 5, 7, 1]])
    later = torch.tensor([[-1, 3, 5, 2, 9]])
    transformer = Transformer(torch.randn(ITEMS, 16), 10, 2, 2, 0.0).eval()
    towers = Towers(torch.randn(ITEMS, 8), 16, 32, (2.0, 8.0), 0.0).eval()
    for network in (transformer, towers):
        one, other = (network(given, network.rows()) for given in (inputs, later))
        torch.testing.assert_close(one[:, :3], other[:, :3])
        assert not torch.allclose(one[:, 3:], other[:, 3:], atol=1e-3)


def test_towers_pool_by_recency():
    weights = Towers._weights(3, torch.tensor(2.0))
    older = np.exp(-np.arange(3) / 2.0)
    np.testing.assert_allclose(weights[2].numpy(), older[::-1] / older.sum(), rtol=1e-5)
    np.testing.assert_allclose(weights[0].numpy(), [1, 0, 0], atol=1e-7)


def test_short_histories_are_trained_with_more_dropout():
    assert dropout_for([np.arange(6)] * 5) > dropout_for([np.arange(100)] * 5)
