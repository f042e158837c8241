"""BSARec: it learns a circle with either padding, its filter is that of the Fourier transform, its kin looks back only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.baselines.bsarec import BsaRec, CausalBsaRec, FilterBesideAttention, FrequencyFilter, low_pass_matrix
from recommender.baselines.next_item import TrainingSchedule
from recommender.training.distillation import Teacher
from tests.baselines.worlds import CIRCLE_ITEMS, QUICK_SCHEDULE, NextItemBehaviour, circle_data

SMALL = {"width": 16, "layers": 2, "heads": 2, "dropout": 0.0}


class PrefixBehaviour(NextItemBehaviour):
    """What holds for baselines over beginnings of histories."""

    def test_only_the_last_items_that_fit_the_window_count(self, fitted):
        long = np.tile(np.arange(CIRCLE_ITEMS), 3)
        np.testing.assert_allclose(fitted.scores([long]), fitted.scores([long[-10:]]), rtol=1e-4, atol=1e-5)
        assert not np.allclose(fitted.scores([long]), fitted.scores([long[-1:]]))

    def test_it_teaches_at_every_position(self, fitted):
        history = np.array([3, 4, 5, 6])
        found = fitted.scores_by_position(history)
        assert isinstance(fitted, Teacher) and found.shape == (4, CIRCLE_ITEMS)
        for place in range(4):
            np.testing.assert_allclose(found[place], fitted.scores([history[:place]])[0], rtol=1e-4, atol=1e-5)

    def test_the_window_is_no_longer_than_the_histories(self):
        baseline = self.make(TrainingSchedule(length=50, places=64, epochs=1))
        baseline.fit(circle_data([np.array([0, 1, 2, 3]), np.array([4, 5, 6])]))
        assert baseline._length == 4


class TestBsaRec(PrefixBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> BsaRec:
        return BsaRec(schedule=schedule, **SMALL)


class TestCyclic(PrefixBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> BsaRec:
        return BsaRec(cyclic=True, schedule=schedule, **SMALL)


class TestCausal(NextItemBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> CausalBsaRec:
        return CausalBsaRec(schedule=schedule, **SMALL)


def test_cyclic_padding_changes_what_a_short_history_looks_like():
    torch.manual_seed(0)
    network = TestBsaRec.make().network(CIRCLE_ITEMS, 4, 0.0).eval()
    padded, cyclic = (network(torch.tensor([row]), network.rows()) for row in ([-1, -1, 3, 5], [3, 5, 3, 5]))
    assert not torch.allclose(padded, cyclic, atol=1e-3)


@pytest.mark.parametrize("length", [4, 10])
@pytest.mark.parametrize("components", [1, 2])
def test_the_low_pass_keeps_slow_waves_and_drops_fast_ones(length, components):
    places = torch.arange(length) / length
    for frequency in range(length // 2 + 1):
        wave = torch.cos(2 * torch.pi * frequency * places)
        expected = wave if frequency < components else torch.zeros(length)
        torch.testing.assert_close(low_pass_matrix(length, components) @ wave, expected, atol=1e-5, rtol=1e-4)


def test_the_filter_weighs_high_frequencies_by_a_square():
    low_pass, x = low_pass_matrix(6, 2), torch.randn(3, 6, 8)
    layer = FrequencyFilter(8, 0.0, low_pass)
    low = torch.einsum("pq,bqw->bpw", low_pass, x)
    expected = torch.nn.functional.layer_norm(x + low + layer.high**2 * (x - low), (8,))
    torch.testing.assert_close(layer(x, slice(None)), expected)


def test_a_mixer_gives_a_place_what_it_gives_it_among_all():
    x, bias = torch.randn(2, 6, 8), torch.zeros(2, 1, 6, 6)
    mixer = FilterBesideAttention(8, 2, 0.0, 0.7, low_pass_matrix(6, 2)).eval()
    last = mixer(x, bias[:, :, -1:], slice(-1, None))
    torch.testing.assert_close(last, mixer(x, bias, slice(None))[:, -1:])


def test_the_share_of_the_filter_is_alpha():
    x, bias = torch.randn(2, 6, 8), torch.zeros(2, 1, 6, 6)
    mixer = FilterBesideAttention(8, 2, 0.0, 0.7, None).eval()
    expected = 0.7 * mixer.filter(x, slice(None)) + 0.3 * mixer.attention(x, bias, slice(None))
    torch.testing.assert_close(mixer(x, bias, slice(None)), expected)


def test_padding_is_not_attended_to():
    torch.manual_seed(0)
    baseline = BsaRec(alpha=0.0, **SMALL)
    network = baseline.network(CIRCLE_ITEMS, 6, 0.0).eval()
    inputs = torch.tensor([[-1, -1, -1, 3, 5, 7]])
    before = network(inputs, network.rows())
    with torch.no_grad():
        network.start += 5
        torch.testing.assert_close(network(inputs, network.rows()), before)


def test_the_causal_kin_does_not_see_what_comes_later():
    torch.manual_seed(0)
    network = TestCausal.make().build([np.arange(5)], circle_data())[0].eval()
    inputs, changed_later = torch.tensor([[-1, 3, 5, 7, 1]]), torch.tensor([[-1, 3, 5, 2, 9]])
    states, other = (network(given, network.rows()) for given in (inputs, changed_later))
    torch.testing.assert_close(states[:, :3], other[:, :3])
    assert not torch.allclose(states[:, 3:], other[:, 3:], atol=1e-3)
