import math

import pytest
from scipy.special import ndtr

from recommender.errors import ConfigError
from recommender.training.accounting import LEAST, Mechanism, epsilon_of, noise_for


def delta_of_one_gaussian(epsilon: float, noise: float) -> float:
    """Balle and Wang, "Improving the Gaussian mechanism", ICML 2018, theorem 8: exact."""
    return float(ndtr(0.5 / noise - epsilon * noise) - math.exp(epsilon) * ndtr(-0.5 / noise - epsilon * noise))


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_with_everybody_in_each_step_it_is_one_gaussian_mechanism(steps, noise):
    epsilon = epsilon_of(Mechanism(1.0, steps), noise, 1e-4)
    assert delta_of_one_gaussian(epsilon, noise / steps**0.5) == pytest.approx(1e-4, rel=0.02)


def test_the_known_value_of_mnist():
    """Abadi et al. 2016 trained with q = .01, noise 4, 10,000 steps; their moments accountant gave epsilon 1.26 at 1e-5."""
    assert epsilon_of(Mechanism(0.01, 10_000), 4.0, 1e-5, about=1.0) == pytest.approx(1.0, abs=0.27)
    assert epsilon_of(Mechanism(0.01, 10_000), 4.0, 1e-5, about=1.0) < 1.26


def test_counts_spend_like_one_more_step_with_everybody():
    both = epsilon_of(Mechanism(1.0, 1, counts_noise=2.0), 2.0, 1e-4)
    assert both == pytest.approx(epsilon_of(Mechanism(1.0, 2), 2.0, 1e-4), abs=0.01)


@pytest.mark.parametrize(
    ("mechanism", "epsilon"),
    [
        (Mechanism(1.0, 8), 8.0),
        (Mechanism(1.0, 8), 2.0),
        pytest.param(Mechanism(0.25, 24), 2.0, marks=pytest.mark.slow),
        (Mechanism(0.5, 6, 5.0), 8.0),
        pytest.param(Mechanism(0.5, 6, 5.0), 2.0, marks=pytest.mark.slow),  # the same path, seconds more
    ],
)
def test_the_noise_keeps_the_budget_and_wastes_little(mechanism, epsilon):
    noise = noise_for(mechanism, epsilon, 1e-4)
    assert 0.97 * epsilon < epsilon_of(mechanism, noise, 1e-4, epsilon) <= epsilon
    assert epsilon_of(mechanism, 0.98 * noise, 1e-4, epsilon) > epsilon


def test_the_noise_is_found_in_a_few_tries(monkeypatch):
    """Each try is a sum over whole distributions: seconds for large runs."""
    tried = []
    monkeypatch.setattr(
        "recommender.training.accounting.epsilon_of",
        lambda mechanism, noise, delta, about: tried.append(noise) or epsilon_of(mechanism, noise, delta, about),
    )
    noise = noise_for(Mechanism(1.0, 9), 2.0, 1e-4)
    assert 2 < len(tried) <= 9 and epsilon_of(Mechanism(1.0, 9), noise * 0.998, 1e-4, 2.0) > 2


def test_fewer_users_in_a_step_need_less_noise():
    assert noise_for(Mechanism(0.5, 8), 8.0, 1e-4) < noise_for(Mechanism(1.0, 8), 8.0, 1e-4)


def test_a_huge_budget_needs_next_to_none():
    assert noise_for(Mechanism(1.0, 2), 1e6, 1e-4) == LEAST


def test_a_budget_that_counts_alone_exceed_is_refused():
    with pytest.raises(ConfigError, match="spent before the first step"):
        noise_for(Mechanism(1.0, 2, counts_noise=1.0), 2.0, 1e-4)
