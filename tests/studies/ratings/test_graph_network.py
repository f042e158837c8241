"""The graph network: no rating is an edge of the graph it is predicted from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.graph_network import GraphModel
from tests.studies.ratings.ratings_world import ITEMS, SETTINGS, USERS, fold_of, make_content, taste


@pytest.fixture(scope="module")
def planted() -> Fold:
    """Tastes that only the sound tells."""
    return fold_of(taste(make_content(), "mfcc"))


def test_the_graph_network_never_sees_the_edge_that_it_predicts(planted):
    model = GraphModel(planted, SETTINGS)
    for part, (to_users, to_items) in enumerate(model.graphs):
        assert to_users._nnz() == to_items._nnz() == 2 * (planted.parts != part).sum()  # by rating and by deviation
        edges = set(zip(*(i.tolist() for i in to_users.indices()), strict=True))
        inside = np.flatnonzero(planted.parts == part)
        pairs = zip(planted.fit.users[inside], planted.fit.items[inside], strict=True)
        assert not any((u, c * 50 + i) in edges for u, i in pairs for c in range(5))
    for rows in model.batches(np.random.default_rng(0), 100):
        assert len(set(planted.parts[rows])) == 1


def test_batches_hold_every_training_row_once(planted):
    model = GraphModel(planted, SETTINGS)
    batches = list(model.batches(np.random.default_rng(0), 64))
    assert max(map(len, batches)) <= 64
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(planted.fit)))


def test_later_parts_are_predicted_from_all_that_is_known_by_then(planted):
    model = GraphModel(planted, SETTINGS)
    for part, known in (("validation", planted.known), ("test", planted.all_known)):
        to_users, to_items = model.later[part]
        kinds = len(planted.levels) + 1
        assert to_users.shape == (USERS, kinds * ITEMS) and to_items.shape == (ITEMS, kinds * USERS)
        assert to_users._nnz() == 2 * len(known.values)


def test_messages_are_normalised_by_both_degrees(planted):
    model = GraphModel(planted, SETTINGS)
    to_users, _ = model.later["validation"]
    dense = to_users.to_dense().numpy()
    known = planted.known
    user, item = int(known.users[0]), int(known.items[0])
    kind = int(np.searchsorted(planted.levels, known.values[0]))
    expected = 1 / np.sqrt((known.users == user).sum() * (known.items == item).sum())
    assert dense[user, kind * ITEMS + item] == pytest.approx(expected, rel=1e-5)
    deviation = (known.values[0] - known.values.mean()) / known.values.std()
    assert dense[user, len(planted.levels) * ITEMS + item] == pytest.approx(expected * deviation, rel=1e-4)


def test_pairs_of_all_rows_stand_in_the_order_of_the_rows(planted):
    torch.manual_seed(0)
    model = GraphModel(planted, SETTINGS)
    described = model.described("fit")
    assert described.shape[0] == len(planted.fit)
    rows = np.flatnonzero(planted.parts == 1)[:5]
    with torch.no_grad():
        np.testing.assert_allclose(described[rows], model.pairs("fit", rows).numpy(), rtol=1e-5)
