"""Resampled sounds, against the closed form of a sine."""

import numpy as np

from recommender.numerics.resampling import resampled


def test_a_tone_keeps_its_frequency_and_loudness_at_another_rate():
    tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    slower = resampled(tone, 160, 441)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert slower.shape == (16_000,) and np.abs(slower - expected)[200:-200].max() < 1e-3
