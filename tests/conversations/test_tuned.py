"""Tuned weights: the prior against another optimiser, a signal that tells gets a weight, and what is saved ranks alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from recommender.conversations.cases import Case, Turn
from recommender.conversations.mentions import MentionFinder
from recommender.conversations.outside import WorkIndex
from recommender.conversations.spoken import spoken_of
from recommender.conversations.taste import Taste
from recommender.conversations.tuned import HEARD, PRIOR_STRENGTH, TUNED, Tuned, fit_prior, spoken_prior, tune
from recommender.errors import CheckpointError
from tests.conversations.test_making import CATALOGUE, HISTORIES, KINDS, OUTSIDE

TASTE = Taste.learned(CATALOGUE, HISTORIES, OUTSIDE)
FINDER, WORKS = MentionFinder(CATALOGUE), WorkIndex(OUTSIDE)
#: people who ask for a kind and get one of the two items of it
CASES = [
    Case(n, (Turn("user", f"some {KINDS[n % 4].lower()} please"),), (), (n % 4 + 4 * (n // 4 % 2),)) for n in range(48)
]
SPOKEN = [spoken_of([("user", c.said())], [FINDER.find(c.said())], WORKS) for c in CASES]


def hits(scores):
    return np.mean([case.targets[0] in np.argsort(-row)[:2] for case, row in zip(CASES, scores, strict=True)])


@pytest.fixture(scope="module")
def tuned():
    heard = np.random.default_rng(0).standard_normal((len(CASES), len(CATALOGUE)))
    return tune(TASTE, CASES, SPOKEN, heard, None, WORKS)


def test_what_tells_is_weighed_and_noise_is_not(tuned):
    assert tuned.weights["kinds wanted"] > 0
    noise = np.random.default_rng(1).standard_normal((len(CASES), len(CATALOGUE)))
    assert hits(tuned.scores(noise, SPOKEN, None)) > 0.9
    assert tuned.weights.get(HEARD, 0) < 0.3


def test_a_model_that_hears_right_is_believed():
    heard = np.full((len(CASES), len(CATALOGUE)), -8.0)
    for row, case in zip(heard, CASES, strict=True):
        row[list(case.targets)] = -0.1
    believed = tune(TASTE, CASES, SPOKEN, heard, None)
    assert believed.weights[HEARD] > 0
    best = believed.scores(heard, SPOKEN, None).argmax(1)
    assert np.mean([b == c.targets[0] for b, c in zip(best, CASES, strict=True)]) == 1


def test_the_prior_is_the_optimum_that_another_method_finds():
    cases = [Case(n, (Turn("user", "hello"),), (), ((0, 0, 0, 1, 5)[n % 5],)) for n in range(20)]
    prior = fit_prior(TASTE, cases)
    # shifting any item's prior along any other direction cannot be cheaper: compare with a free search of the same loss
    likely = np.exp(prior - prior.max())
    likely /= likely.sum()
    assert likely[0] == likely.max() and likely[[0, 1, 5]].sum() > likely[[2, 3, 4, 6, 7]].sum()
    targets = [c.targets[0] for c in cases]

    def loss(scale):
        logits = prior * scale[0]
        return -(logits[targets] - np.log(np.exp(logits).sum())).mean()

    assert minimize(loss, [1.0], method="Nelder-Mead").x[0] == pytest.approx(1, abs=0.35)


def test_what_others_spoke_of_counts_and_an_own_dialogue_does_not():
    said = [f"somebody who says a lot, in many words, number {n}" for n in range(4)]
    cases = [Case(n, (Turn("user", said[n]),), (1,), ((2, 2, 3, 4)[n],)) for n in range(4)]
    prior, of_others = spoken_prior(np.zeros(len(CATALOGUE)), cases)
    share = PRIOR_STRENGTH / len(CATALOGUE)
    assert np.allclose(np.exp(prior), np.array([0, 4, 2, 1, 1, 0, 0, 0]) + share)
    assert np.allclose(np.exp(of_others[0]), np.array([0, 3, 1, 1, 1, 0, 0, 0]) + share)
    assert np.allclose(np.exp(of_others[3]), np.array([0, 3, 2, 1, 0, 0, 0, 0]) + share)


def test_what_was_saved_ranks_alike(tuned, tmp_path, monkeypatch):
    tuned.save(tmp_path)
    table = tmp_path / "works.jsonl"
    rows = [{"item_id": i.item_id, "title": i.title, **i.attributes} for i in OUTSIDE]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    loaded, again = (Tuned.load(tmp_path, CATALOGUE, str(table)) for _ in range(2))
    assert len(list((tmp_path / "cache").iterdir())) == 1 and [w.title for w in again.works.works] == [
        w.title for w in loaded.works.works
    ]
    heard = np.random.default_rng(2).standard_normal((3, len(CATALOGUE)))
    told = [("user", "I liked Elsewhere 2 (1982) and The Baker (1970)")]
    spoken = [spoken_of(told, [FINDER.find(told[0][1])], index.works) for index in (tuned, loaded)]
    assert spoken[0] == spoken[1]
    one, other = (index.scores(heard, [s] * 3, None) for index, s in zip((tuned, loaded), spoken, strict=True))
    assert np.allclose(one, other, atol=1e-2)
    assert Tuned.load(tmp_path / "nothing", CATALOGUE) is None


def test_works_that_are_not_at_hand_are_done_without(tuned, tmp_path, caplog):
    tuned.save(tmp_path)
    loaded = Tuned.load(tmp_path, CATALOGUE, "no-such-table")
    assert loaded.works is None and "are not known" in caplog.text


def test_a_damaged_or_foreign_file_is_refused(tuned, tmp_path):
    tuned.save(tmp_path)
    with pytest.raises(CheckpointError, match="other items"):
        Tuned.load(tmp_path, OUTSIDE)
    (tmp_path / TUNED).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        Tuned.load(tmp_path, CATALOGUE)
