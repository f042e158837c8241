"""Intervals that may be looked at at any time: they hold at all times together, and shrink."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from recommender.experiments import rates
from recommender.experiments.rates import Sums
from recommender.experiments.sequential import ALPHA, LEAST, always_valid, coin_interval, log_evidence


def test_the_width_is_where_the_mixture_of_likelihood_ratios_reaches_its_limit():
    variance, scale = 0.04, 0.3
    edge = float(always_valid(variance, scale))

    def ratio(seen):
        prior = norm(0, scale)
        return quad(lambda at: norm.pdf(seen, at, variance**0.5) * prior.pdf(at), -4, 4, points=[seen])[0] / norm.pdf(
            seen, 0, variance**0.5
        )

    assert ratio(edge) == pytest.approx(1 / ALPHA, rel=1e-3)
    assert always_valid(0.0, 1.0) == 0


def test_evidence_on_a_coin_is_the_mean_likelihood_ratio_over_all_coins():
    expected = quad(lambda p: p**7 * (1 - p) ** 3, 0, 1)[0] / (0.4**7 * 0.6**3)
    assert np.exp(log_evidence(7, 10, 0.4)) == pytest.approx(expected)
    assert log_evidence(1, 10, 0.0) == np.inf and log_evidence(0, 0, 0.5) == pytest.approx(0)


@pytest.mark.parametrize("chance", [0.5, 0.1])
def test_the_interval_on_a_coin_holds_at_every_toss(chance):
    random, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        heads = np.cumsum(random.random(500) < chance)
        wrong += bool((log_evidence(heads, np.arange(1, 501), chance) > np.log(1 / ALPHA)).any())
    assert wrong / 400 <= ALPHA + 0.02
    found = coin_interval(int(heads[-1]), 500)
    assert found.low < heads[-1] / 500 < found.high < found.low + 0.25
    assert np.exp(log_evidence(heads[-1], 500, found.high)) == pytest.approx(1 / ALPHA, rel=1e-3)
    assert (coin_interval(0, 0).low, coin_interval(0, 0).high) == (0, 1)
    assert coin_interval(0, 30).low == 0 and coin_interval(30, 30).high == 1


def people(random, count, rate=0.2):
    lists = random.geometric(0.3, count)
    return random.binomial(lists, random.beta(4 * rate, 4 * (1 - rate), count)), lists


def test_a_rate_and_its_variance_are_those_of_people_drawn_anew():
    random = np.random.default_rng(0)
    found = [Sums.of(*people(random, 400)) for _ in range(800)]
    spread = np.var([float(one.rate) for one in found])
    assert np.mean([float(one.variance) for one in found]) == pytest.approx(spread, rel=0.15)
    takes, lists = people(random, 50)
    assert Sums.running(takes, lists).variance[-1] == pytest.approx(float(Sums.of(takes, lists).variance))


def test_no_difference_is_rarely_found_however_often_one_looks_and_a_large_one_is():
    random, false, right = np.random.default_rng(1), 0, 0
    for _ in range(200):
        same = [Sums.running(*people(random, 3000)) for _ in range(2)]
        half = rates.half_width(*same, 0.05)
        assert np.isinf(half[: LEAST - 1]).all() and np.isfinite(half[LEAST + 10 :]).all()
        false += bool((np.abs(same[1].rate - same[0].rate) > half).any())
        more = Sums.of(*people(random, 3000, 0.3))
        right += rates.difference(Sums.of(*people(random, 3000)), more, 0.2).low > 0
    assert false <= 200 * ALPHA + 9 and right >= 195


def test_too_few_people_and_no_takes_say_nothing():
    random = np.random.default_rng(0)
    few, many = Sums.of(*people(random, LEAST - 1)), Sums.of(*people(random, 1000))
    none = Sums.of(np.zeros(500), np.ones(500))
    assert rates.difference(few, many, 0.05) is None and rates.rate(few, 0.05) is None
    assert rates.difference(none, none, 0.05) is None and rates.rate(none, 0.05).value == 0
    assert rates.difference(none, many, 0.05).value == pytest.approx(float(many.rate))
