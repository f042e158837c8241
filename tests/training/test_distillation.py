"""A teacher: what it expects at each interaction is what the baseline would say there, and training listens to it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recommender.baselines import BASELINES, FitData, ItemContent
from recommender.config import TeacherConfig
from recommender.encoders.features import Features
from recommender.errors import ConfigError
from recommender.training.distillation import Known, make_soft_targets

ITEMS = 12


@pytest.fixture(scope="module")
def data() -> FitData:
    return FitData([(np.arange(6 + user % 3) + user) % ITEMS for user in range(16)], ITEMS)


@pytest.fixture(scope="module")
def soft(data):
    return make_soft_targets(TeacherConfig(baseline="sasrec", most=4, weight=0.5), data)


def test_each_interaction_has_the_likeliest_items_of_the_baseline(data, soft):
    baseline = BASELINES["sasrec"]()
    baseline.fit(data)
    start = 0
    for history in data.histories:
        for place in range(1, len(history)):  # what came before the place, and nothing later
            scores = torch.from_numpy(baseline.scores([history[:place]])[0])
            probabilities, items = torch.softmax(scores, 0).topk(4)
            order = soft.probabilities[start + place].argsort(descending=True, stable=True)
            np.testing.assert_array_equal(np.sort(soft.items[start + place]), np.sort(items))
            np.testing.assert_allclose(
                soft.probabilities[start + place][order], probabilities / probabilities.sum(), atol=2e-3
            )
        start += len(history)
    assert start == len(soft.targets) == len(soft.items)
    np.testing.assert_array_equal(soft.targets, np.concatenate(data.histories))


def test_probabilities_sum_to_one(soft):
    np.testing.assert_allclose(soft.probabilities.float().sum(1), 1, atol=5e-3)


def test_several_fits_are_averaged(data, soft):
    both = make_soft_targets(TeacherConfig(baseline="sasrec", most=ITEMS, seeds=2), data)
    first, second = (
        make_soft_targets(TeacherConfig(baseline="sasrec", most=ITEMS), FitData(data.histories, ITEMS, seed=s))
        for s in (0, 1)
    )

    def dense(found):
        return torch.zeros(len(found.targets), ITEMS).scatter(1, found.items.long(), found.probabilities.float())

    np.testing.assert_allclose(dense(both), (dense(first) + dense(second)) / 2, atol=2e-3)


def test_a_history_longer_than_a_window_is_asked_about_whole(data):
    baseline = BASELINES["sasrec"]()
    baseline.fit(data)
    long = np.arange(3 * baseline.schedule.length) % ITEMS
    assert np.isfinite(baseline.scores_by_position(long)).all()
    short = long[: baseline.schedule.length]
    np.testing.assert_allclose(
        baseline.scores_by_position(long)[: len(short)], baseline.scores_by_position(short), atol=1e-4
    )


@pytest.mark.parametrize("name", ["popularity", "nobody"])
def test_a_baseline_that_cannot_teach_is_named(data, name):
    with pytest.raises(ConfigError, match=f"{name}.*cannot be a teacher"):
        make_soft_targets(TeacherConfig(baseline=name), data)


def test_what_it_said_is_kept_for_a_resumed_run_and_for_no_other(data, soft, tmp_path, monkeypatch):
    cache, config = tmp_path / "run" / "teacher.pt", TeacherConfig(baseline="sasrec", most=4, weight=0.5)
    first = make_soft_targets(config, data, cache=cache)
    asked = []
    monkeypatch.setattr(BASELINES["sasrec"]().__class__, "fit", lambda self, data: asked.append(data.seed))
    again = make_soft_targets(config.model_copy(update={"weight": 0.1}), data, cache=cache)
    assert asked == [] and again.weight == 0.1
    torch.testing.assert_close(again.probabilities, first.probabilities)
    torch.testing.assert_close(again.items, first.items)
    with pytest.raises(AttributeError):  # fitted anew, here by nothing: there is no network to ask
        make_soft_targets(config, FitData(data.histories, ITEMS, seed=5), cache=cache)
    assert asked == [5]


TEXTS = [f"word{item // 2} thing{item}" for item in range(ITEMS)]


@pytest.fixture(scope="module")
def with_texts(data):
    return dataclasses.replace(data, content=ItemContent(TEXTS, lambda: Features({}, {})))


def test_several_baselines_are_weighed_by_validation_targets(with_texts):
    """Steps by one are the truth of these histories, so the weighted teacher finds the target better than chance."""
    histories = with_texts.histories
    known = Known(histories, np.array([(history[-1] + 1) % ITEMS for history in histories]))
    config = TeacherConfig(baseline="transition-tfidf+sasrec", most=3, ends=True, weight=0.4)
    soft = make_soft_targets(config, with_texts, known=known)
    ends = np.cumsum([len(history) + 1 for history in histories]) - 1
    assert len(soft.items) == len(soft.targets) == ends[-1] + 1
    likeliest = soft.items[ends, soft.probabilities[ends].argmax(1)].numpy()
    np.testing.assert_array_equal(soft.targets[ends], likeliest)
    assert (likeliest == known.targets).mean() > 0.9
    weights = soft.weight_at(torch.arange(len(soft.targets)))
    assert (weights[ends] == 1).all() and weights.sum() == pytest.approx(len(ends) + 0.4 * (len(weights) - len(ends)))
    for history, end in zip(histories, ends, strict=True):  # what was seen is not expected again
        assert soft.probabilities[end][np.isin(soft.items[end], history)].sum() == 0


def test_several_baselines_without_a_target_are_refused(with_texts):
    config = TeacherConfig(baseline="transition-tfidf+sasrec")
    with pytest.raises(ConfigError, match="nobody has one"):
        make_soft_targets(config, with_texts, known=Known(with_texts.histories, np.full(len(with_texts.histories), -1)))


def test_after_a_history_of_all_items_nothing_is_expected(with_texts):
    whole = dataclasses.replace(with_texts, histories=[*with_texts.histories, np.arange(ITEMS)])
    known = Known(whole.histories, np.array([(history[-1] + 1) % ITEMS for history in with_texts.histories] + [-1]))
    config = TeacherConfig(baseline="transition-tfidf+sasrec", most=3, ends=True)
    soft = make_soft_targets(config, whole, known=known)
    assert torch.isfinite(soft.probabilities).all() and soft.probabilities[-1].sum() == 0
