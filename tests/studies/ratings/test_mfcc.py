"""The encoder of timbre: a description of fixed width for any sound, and what cannot be described is named."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile

from recommender.errors import DataError, RecommenderError
from recommender.studies.ratings.mfcc import SAMPLE_RATE as RATE
from recommender.studies.ratings.mfcc import MfccEncoder

TIME = np.arange(RATE) / RATE


def test_a_silent_sound_is_an_error_that_names_the_file(tmp_path):
    soundfile.write(tmp_path / "still.wav", np.zeros(RATE), RATE)
    with pytest.raises(DataError, match=r"still\.wav"):
        MfccEncoder().prepare(tmp_path / "still.wav")


@pytest.mark.parametrize("samples", [200, 5000, 16_000])
def test_sounds_of_any_length_have_a_description_of_one_width(samples, tmp_path):
    pytest.importorskip("librosa")
    tone = 0.3 * np.sin(2 * np.pi * 440 * TIME[:samples])
    soundfile.write(tmp_path / "tone.wav", tone, RATE)
    sound = MfccEncoder().prepare(tmp_path / "tone.wav")
    described = MfccEncoder().encode([sound])
    assert described.shape == (1, 84) and described.dtype == np.float32 and np.isfinite(described).all()


def test_a_batch_is_described_as_each_sound_alone():
    pytest.importorskip("librosa")
    sounds = [np.sin(2 * np.pi * pitch * TIME).astype(np.float32) for pitch in (200, 900)]
    together = MfccEncoder().encode(sounds)
    np.testing.assert_array_equal(together, np.concatenate([MfccEncoder().encode([sound]) for sound in sounds]))
    assert not np.allclose(together[0], together[1])


def test_a_missing_library_is_named_with_an_alternative(monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(RecommenderError, match="feature mfcc needs the package librosa") as caught:
        MfccEncoder().load()
    assert "whisper" in caught.value.hint
