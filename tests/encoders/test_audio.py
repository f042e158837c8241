"""The audio encoder on a tiny random model; the embedded one where a test is marked so."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import whisper

from recommender import assets
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder, encoder_states
from recommender.errors import AssetError, ConfigError, DataError, RecommenderError
from tests.media_files import sound


@pytest.fixture(scope="module")
def audio_encoder(audio_file) -> AudioEncoder:
    return AudioEncoder(str(audio_file))


def test_thirty_seconds_equal_whispers_own_encoder(audio_encoder, audio_file):
    model = whisper.load_model(str(audio_file))
    full = sound(30)
    mel = whisper.log_mel_spectrogram(full)
    with torch.no_grad():
        expected = model.encoder(mel[None])
        assert torch.equal(encoder_states(model.encoder, mel[None]), expected)
    np.testing.assert_allclose(audio_encoder.encode([full])[0], expected[0].mean(dim=0).numpy(), atol=1e-5)


def test_a_sound_does_not_depend_on_its_batch(audio_encoder):
    sounds = [sound(seconds, seed) for seed, seconds in enumerate((0.01, 0.7, 1.9, 2.0, 0.9, 1.6))]
    together = audio_encoder.encode(sounds)
    alone = np.concatenate([audio_encoder.encode([one]) for one in sounds])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_padding_is_left_out_of_the_mean(audio_encoder):
    """The vector is the mean of the states of the sound itself, not of the silence behind it."""
    short = sound(0.3)
    model = audio_encoder._model()
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(short, SAMPLE_RATE // 2))
    with torch.no_grad():
        states = encoder_states(model.encoder, mel[None])[0]
    np.testing.assert_allclose(audio_encoder.encode([short])[0], states[:15].mean(dim=0).numpy(), atol=1e-5)


def test_long_sounds_are_averaged_over_windows_by_length(audio_file):
    encoder = AudioEncoder(str(audio_file), window_seconds=2)
    long = sound(5)
    windows = encoder.encode([long[:32_000], long[32_000:64_000], long[64_000:]])
    expected = (2 * windows[0] + 2 * windows[1] + windows[2]) / 5
    np.testing.assert_allclose(encoder.encode([long, sound(1)])[0], expected, atol=1e-5)
    assert np.abs(windows[0] - windows[2]).max() > 1e-3


def test_a_folder_with_one_file_of_weights_will_do(audio_encoder, audio_file, tmp_path):
    assert AudioEncoder(str(audio_file.parent)).identity == audio_encoder.identity
    assert AudioEncoder(str(audio_file), window_seconds=5).identity != audio_encoder.identity
    with pytest.raises(ConfigError, match="holds 0 .pt files"):
        AudioEncoder(str(tmp_path)).load()


def test_a_wrong_whisper_model_is_named_with_a_hint():
    with pytest.raises(ConfigError, match="no model 'tiny.eng'") as error:
        AudioEncoder("tiny.eng").load()
    assert "tiny.en" in error.value.hint
    assert AudioEncoder("tiny.en").identity == "audio-1 tiny.en 480000"


def test_weights_of_something_else_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(AssetError, match="cannot be loaded"):
        AudioEncoder(str(tmp_path / "other.pt")).load()


def test_sound_without_samples_is_refused(audio_encoder):
    with pytest.raises(DataError, match="at least one sample"):
        audio_encoder.prepare(np.zeros(0, np.float32))


def test_whispers_own_decoding_gives_a_transcript(audio_encoder):
    assert isinstance(audio_encoder.transcript(sound(0.5)), str)


@pytest.mark.assets
def test_short_sounds_resemble_whispers_padded_reading():
    """Not equal: without the padding to 30 s these tones of 2 s have a cosine of .87 to .89 (see audio.py)."""
    encoder = AudioEncoder("whisper-tiny.en")
    model = encoder._model()
    for seed in range(3):
        short = sound(2, seed)
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(short))
        with torch.no_grad():
            padded = model.encoder(mel[None])[0, :100].mean(dim=0).numpy()
        found = encoder.encode([short])[0]
        assert found @ padded / np.linalg.norm(found) / np.linalg.norm(padded) > 0.8


def test_without_whisper_one_line_says_what_to_install_before_anything_is_fetched(monkeypatch):
    monkeypatch.setitem(sys.modules, "whisper", None)
    monkeypatch.setattr(assets, "fetch", lambda name: pytest.fail("nothing is to be downloaded"))
    with pytest.raises(RecommenderError, match="audio encoder needs the package openai-whisper") as error:
        AudioEncoder("whisper-tiny.en").load()
    assert error.value.hint == "pip install 'recommender[speech]', or set encoders.audio: null"
