"""WEARec: it learns a circle; its filter is a Fourier transform and back, its wavelet a Haar transform and back."""

from __future__ import annotations

import pytest
import torch

from recommender.baselines.next_item import TrainingSchedule
from recommender.baselines.wearec import AdaptiveFilter, HaarDetail, WaveletFilter, WeaRec
from tests.baselines.test_bsarec import PrefixBehaviour
from tests.baselines.worlds import QUICK_SCHEDULE

SMALL = {"width": 16, "layers": 2, "heads": 2, "dropout": 0.0}


class TestWeaRec(PrefixBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> WeaRec:
        return WeaRec(schedule=schedule, **SMALL)


class TestCyclic(PrefixBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> WeaRec:
        return WeaRec(cyclic=True, schedule=schedule, **SMALL)


@pytest.mark.parametrize("length", [2, 6, 10])
def test_the_adaptive_filter_scales_and_shifts_a_fourier_transform(length):
    torch.manual_seed(0)
    layer, x = AdaptiveFilter(length, 8, 2), torch.randn(3, length, 8)
    changes = layer.adapt(x.mean(1)).reshape(3, length // 2 + 1, 2, 2)
    spectrum = torch.fft.rfft(x, dim=1, norm="ortho").reshape(3, -1, 2, 4)
    changed = spectrum * layer.scale * (1 + changes[..., :1]) + layer.shift + changes[..., 1:]
    expected = torch.fft.irfft(changed.reshape(3, -1, 8), n=length, dim=1, norm="ortho")
    torch.testing.assert_close(layer(x, slice(None)), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer(x, slice(-1, None)), expected[:, -1:], atol=1e-5, rtol=1e-4)


def test_the_wavelet_with_weights_of_one_gives_back_what_it_was_given():
    layer, x = HaarDetail(6, 8), torch.randn(3, 6, 8)
    layer.weight.data.fill_(1.0)
    torch.testing.assert_close(layer(x), x)
    layer.weight.data.zero_()
    torch.testing.assert_close(layer(x), x.reshape(3, 3, 2, 8).mean(2).repeat_interleave(2, 1))


def test_the_share_of_the_adaptive_filter_is_alpha():
    layer, x = WaveletFilter(6, 8, 2, 0.2, 0.0), torch.randn(3, 6, 8)
    mixed = 0.2 * layer.everywhere(x, slice(None)) + 0.8 * layer.nearby(x)
    expected = torch.nn.functional.layer_norm(x + mixed, (8,))
    torch.testing.assert_close(layer(x, torch.empty(0), slice(None)), expected)
    torch.testing.assert_close(layer(x, torch.empty(0), slice(-1, None)), expected[:, -1:])
