import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from recommender.errors import DataError
from recommender.studies.membership import Scores, alike, attack, auc, knowledge, measured, roc, true_positives


def test_the_area_is_that_of_mann_and_whitney():
    random = np.random.default_rng(0)
    inside, outside = random.integers(0, 9, 40) + 1.0, random.integers(0, 9, 70).astype(float)
    statistic = mannwhitneyu(inside, outside).statistic
    assert auc(inside, outside) == pytest.approx(statistic / 40 / 70)
    assert auc(np.ones(5), np.ones(3)) == 0.5


def test_true_positives_allow_one_in_a_hundred_false_ones():
    outside = np.arange(200.0)  # two of them may be above the bar: 198 and 199
    assert true_positives(np.array([196.5, 197.5, 198.5, 500.0]), outside) == 0.75
    assert true_positives(np.array([5.0, 7.0]), np.arange(10.0)) == 0.0  # of ten none may be
    assert true_positives(np.array([9.0, 9.5]), np.arange(10.0)) == 0.5  # as high is not above


def test_the_curve_begins_and_ends_where_it_must_and_has_the_area():
    random = np.random.default_rng(1)
    scores, member = random.standard_normal(60), np.arange(60) < 25
    scores[member] += 0.7
    false, true = roc(scores, member)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(auc(scores[member], scores[~member]))


def test_scores_that_know_nothing_have_a_half_in_their_interval():
    random = np.random.default_rng(2)
    found = measured(random.standard_normal(300), np.arange(300) < 150, samples=300)
    assert found.auc_low < 0.5 < found.auc_high
    assert found.auc_high - found.auc_low < 0.2
    assert (found.members, found.others) == (150, 150)


def test_a_model_that_learned_them_by_heart_is_found_out():
    member = np.arange(80) < 40
    random = np.random.default_rng(3)
    reference = Scores(random.standard_normal(80), random.random(80))
    target = Scores(reference.loss + member * 2.0, reference.lists)
    found = attack(target, reference, member, samples=100)
    assert found["loss"].auc == 1.0 and found["loss"].true_positives == 1.0
    assert found["lists"].auc == 0.5
    assert found["loss"].told()["auc_interval"] == [1.0, 1.0]


def test_an_attack_needs_both_kinds_of_people():
    with pytest.raises(DataError, match="3 people were learned from and 0 were not"):
        measured(np.zeros(3), np.ones(3, bool))


def test_both_groups_had_as_much_pair_by_pair():
    inside, outside = [5, 50, 500, 7, 6, 60], [6, 55, 5]
    first, second = alike(inside, outside)
    pairs = sorted((inside[a], outside[b]) for a, b in zip(first, second, strict=True))
    assert pairs == [(5, 5), (6, 6), (60, 55)]  # by their ratio
    second, first = alike(outside, inside)
    assert sorted((inside[a], outside[b]) for a, b in zip(first, second, strict=True)) == pairs
    assert len(alike([], [3])[0]) == 0


def test_what_a_model_tells_of_people(make_checkpoint, histories):
    checkpoint = make_checkpoint()
    scores = knowledge(checkpoint, histories[:3], listed=20)
    assert scores.loss.shape == scores.lists.shape == (3,)
    assert (scores.loss < 0).all()
    # all unseen items are listed, so the second half is, but for what the first half had already
    assert (scores.lists == 1.0).all()
    assert (knowledge(checkpoint, histories[:3], listed=1).lists <= 1 / 3).all()
