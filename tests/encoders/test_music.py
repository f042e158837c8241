"""musicnn: computes what the original does, and is an encoder like the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recommender.config import EncodersConfig
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.music import MusicEncoder, audio_encoder, hears_speech, is_music
from recommender.encoders.musicnn_network import FRAMES, Musicnn, mel_filters, spectrogram
from recommender.encoders.pipeline import Encoders
from recommender.errors import AssetError, ConfigError, DataError

TAGS = ["rock", "slow", "female voice"]
#: computed by musicnn 0.1.0 in TensorFlow 2.21 of `reference_sound`, its energies in single precision
REFERENCE = Path(__file__).with_name("musicnn_reference.json")


def reference_sound() -> np.ndarray:
    """Return eight seconds of a bass, a chord that swells and a beat twice a second."""
    seconds = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE

    def tone(hertz):
        return np.sin(2 * np.pi * hertz * seconds)

    chord = sum(tone(hertz) for hertz in (440.0, 554.37, 659.26))
    beat = np.exp(-12 * (seconds % 0.5)) * tone(60)
    return (0.5 * (0.3 * tone(110) + 0.1 * chord * (1 + tone(0.4)) + 0.4 * beat)).astype(np.float32)


@pytest.fixture(scope="module")
def music_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("musicnn")
    torch.manual_seed(0)
    weights = {name: value for name, value in Musicnn(len(TAGS)).state_dict().items() if "batches" not in name}
    save_file(weights, folder / "musicnn.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "musicnn", "tags": TAGS}), encoding="utf-8")
    return folder


@pytest.mark.assets
@pytest.mark.parametrize("name", ["musicnn-msd", "musicnn-mtt"])
def test_the_packaged_tagger_gives_the_numbers_of_the_original(name):
    expected = json.loads(REFERENCE.read_text(encoding="utf-8"))[name]
    encoder = MusicEncoder(name)
    numbers, tags = encoder.windows(encoder.prepare(reference_sound()))
    assert tags == pytest.approx(np.array(expected["tags"]), abs=5e-5)
    assert numbers[0] == pytest.approx(np.array(expected["first_window"]), abs=5e-4)
    assert encoder.identity.startswith(f"music-1 {name} musicnn==0.1.0")


@pytest.mark.assets
def test_tags_are_named_in_the_order_of_the_outputs():
    encoder = MusicEncoder("musicnn-msd")
    (confidences,) = encoder.tag([reference_sound()])
    assert encoder.tags[int(confidences.argmax())] == "ambient"
    assert len(encoder.tags) == len(MusicEncoder("musicnn-mtt").tags) == 50


@pytest.mark.slow  # librosa compiles its own code for twenty seconds; the reference numbers go through it, too
def test_the_spectrogram_is_librosas():
    librosa = pytest.importorskip("librosa")
    assert mel_filters() == pytest.approx(librosa.filters.mel(sr=16_000, n_fft=512, n_mels=96).T, abs=1e-7)
    sound = reference_sound()[:20_000]
    energy = librosa.feature.melspectrogram(y=sound, sr=16_000, hop_length=256, n_fft=512, n_mels=96).T
    assert spectrogram(torch.from_numpy(sound)).numpy() == pytest.approx(np.log10(1 + 10_000 * energy), abs=1e-4)


def test_a_sound_is_the_mean_of_its_windows(music_folder):
    encoder = MusicEncoder(str(music_folder))
    sound = reference_sound()
    numbers, tags = encoder.windows(sound)
    assert numbers.shape == (2, 200) and tags.shape == (2, 3) and (tags > 0).all() and (tags < 1).all()
    assert encoder.encode([sound, sound[:48_000]])[0] == pytest.approx(numbers.mean(0), abs=1e-5)
    assert encoder.tag([sound])[0] == pytest.approx(tags.mean(0), abs=1e-6)
    states, times, shares = encoder.moments(sound)
    assert shares @ states == pytest.approx(numbers.mean(0), abs=1e-5)
    assert 0 < times[0] < times[-1] < 8


def test_a_short_sound_is_repeated_to_a_window(music_folder):
    encoder = MusicEncoder(str(music_folder))
    short = reference_sound()[:9_000]
    repeated = np.tile(short, 6)[: 6 * 9_000]
    assert len(repeated) // 256 + 1 >= FRAMES
    assert encoder.encode([short]) == pytest.approx(encoder.encode([repeated]), abs=1e-5)


def test_a_folder_with_such_a_model_is_found_by_looking(music_folder, audio_file):
    assert is_music(str(music_folder)) and not hears_speech(str(music_folder))
    assert isinstance(audio_encoder(str(music_folder)), MusicEncoder)
    assert isinstance(audio_encoder(str(audio_file)), AudioEncoder) and hears_speech(str(audio_file))
    assert is_music("musicnn-mtt") and not is_music("whisper-tiny.en") and not hears_speech(None)


def test_the_pipeline_takes_it_and_wants_no_transcript_of_it(music_folder):
    config = EncodersConfig(text=None, image=None, audio=str(music_folder))
    found = Encoders.from_config(config).encode_item(audio=reference_sound())
    assert found.vectors["audio"].shape == (1, 200) and found.encoders["audio"].startswith("music-1 musicnn ")
    with pytest.raises(ConfigError, match="hears music and writes down no words") as error:
        Encoders.from_config(EncodersConfig(audio=str(music_folder), transcript=True))
    assert "Whisper" in error.value.hint


def test_other_weights_have_another_identity(music_folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "musicnn", "tags": TAGS[::-1]}), encoding="utf-8")
    (tmp_path / "musicnn.safetensors").write_bytes((music_folder / "musicnn.safetensors").read_bytes())
    assert MusicEncoder(str(tmp_path)).identity != MusicEncoder(str(music_folder)).identity


@pytest.mark.parametrize("tags", [None, [], ["rock", "rock"], "rock"])
def test_a_model_without_tags_is_one_line(tmp_path, tags):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "musicnn", "tags": tags}), encoding="utf-8")
    with pytest.raises(ConfigError, match="lists no tags"):
        _ = MusicEncoder(str(tmp_path)).tags


def test_weights_that_are_not_whole_are_one_line(music_folder, tmp_path):
    (tmp_path / "config.json").write_text((music_folder / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    save_file({"tags.dense.bias": torch.zeros(3)}, tmp_path / "musicnn.safetensors")
    with pytest.raises(AssetError, match="missing or unknown"):
        MusicEncoder(str(tmp_path)).load()


@pytest.mark.parametrize(
    "sound", [np.zeros(0, np.float32), np.zeros((2, 9), np.float32), np.full(9, np.nan, np.float32)]
)
def test_what_is_no_sound_is_refused(music_folder, sound):
    with pytest.raises(DataError):
        MusicEncoder(str(music_folder)).prepare(sound)
