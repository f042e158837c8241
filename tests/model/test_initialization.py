"""Where training starts: rows of similar items are similar."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.model import RecommenderModel, initialization
from recommender.model.initialization import initial_ranking_norm, initial_rows
from recommender.semantic_ids.codes import SemanticIds


def test_rows_of_like_items_start_alike(make_checkpoint, features):
    model: RecommenderModel = make_checkpoint().model
    rows = torch.nn.functional.normalize(model.rows.detach(), dim=1)
    joined = np.concatenate([
        v / np.linalg.norm(v, axis=1, keepdims=True) for v in (features.vectors["text"], features.vectors["collaborative"])
    ], 1)  # fmt: skip
    expected = joined @ joined.T / 2
    np.testing.assert_allclose((rows @ rows.T).numpy(), expected, atol=1e-4)


def test_rows_have_the_asked_length_and_depend_on_the_seed(features):
    ids = SemanticIds.atomic(20)
    first, again, other = (initial_rows(ids, features, 32, 2.5, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first.norm(dim=1), torch.full((20,), 2.5))


def test_a_code_starts_in_the_direction_of_the_mean_of_its_items(features):
    ids = SemanticIds.fit(features.vectors["text"], levels=1, codebook_size=4)
    rows = torch.nn.functional.normalize(initial_rows(ids, features, 32, 1.0, 0, use=("text",)))
    unit = features.vectors["text"] / np.linalg.norm(features.vectors["text"], axis=1, keepdims=True)
    means = np.stack([unit[ids.codes[:, 0] == code].mean(0) for code in range(int(ids.sizes[0]))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    first = rows[: len(means)]  # the map into the hidden space keeps angles
    np.testing.assert_allclose((first @ first.T).numpy(), means @ means.T, atol=1e-5)


def test_without_vectors_rows_are_random(features):
    rows = initial_rows(SemanticIds.atomic(20), features, 32, 1.0, 0, use=())
    assert rows.shape == (20, 32) and len(rows.unique(dim=0)) == 20


@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_the_ranking_norm_gives_scores_a_spread_near_one(make_checkpoint, spread):
    norm = make_checkpoint().model.llm.model.norm
    torch.manual_seed(0)
    states = initial_ranking_norm(norm, spread)(torch.randn(500, 32))
    rows = torch.nn.functional.normalize(torch.randn(300, 32)) * spread
    assert 0.8 < float((states @ rows.T).detach().std()) < 1.2
    assert all(not parameter.requires_grad for parameter in norm.parameters())  # the base's own stays frozen


def test_many_rows_made_in_parts_lie_to_each_other_as_few_do(features, monkeypatch):
    absent = features.without("text").without("collaborative").with_rows(
        "text", np.arange(19), features.vectors["text"][:19]
    )  # fmt: skip
    ids = SemanticIds.fit(features.vectors["text"], levels=1, codebook_size=4)
    for given, of in ((SemanticIds.atomic(20), absent), (ids, features)):
        whole = initial_rows(given, of, 32, 2.5, 0)
        with monkeypatch.context() as patched:
            patched.setattr(initialization, "WHOLE_UP_TO", 1)
            patched.setattr(initialization, "_PART", 7)
            parts = initial_rows(given, of, 32, 2.5, 0)
        known = slice(0, 19)
        torch.testing.assert_close(parts[known] @ parts[known].T, whole[known] @ whole[known].T, atol=1e-3, rtol=1e-3)
        assert parts.norm(dim=1).min() > 1
