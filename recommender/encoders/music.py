"""Music -> vectors and tags: musicnn, which was trained to tag songs; windows of 3 s, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recommender import assets
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder, read_sound
from recommender.encoders.encoder import Lazy, best_device, embedded_identity, files_hash, loading
from recommender.encoders.model_folders import folder_of, settings_of, transformers_type
from recommender.errors import ConfigError

if TYPE_CHECKING:
    from recommender.encoders.musicnn_network import Musicnn

WEIGHTS = "musicnn.safetensors"
_KIND = "musicnn"
_FILES = ("config.json", WEIGHTS)
#: windows that go through the network together
_AT_ONCE = 16


class MusicEncoder:
    """A frozen musicnn: an embedded name ("musicnn-msd", "musicnn-mtt"), or a folder that was converted like these."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = Lazy(lambda: loading(name, "audio", self._build))

    @cached_property
    def folder(self) -> Path:
        """The model's folder. Raises AssetError."""
        return folder_of(self.name, "audio")

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The names of the tags, in the order of the outputs. Raises AssetError, and ConfigError if there are none."""
        found = settings_of(self.folder).get("tags")
        if not isinstance(found, list) or not found or len(set(found)) < len(found):
            raise ConfigError(
                f"encoders.audio: {self.folder}/config.json lists no tags, or one twice",
                'expected {"tags": ["rock", ...]}',
            )
        return tuple(str(tag) for tag in found)

    @cached_property
    def identity(self) -> str:
        """What the vectors depend on besides the sound."""
        embedded = assets.is_embedded(self.name)
        weights = embedded_identity(self.name) if embedded else files_hash(self.folder / name for name in _FILES)
        return f"music-1 {self.name if embedded else _KIND} {weights}"

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError and ConfigError."""
        self._model()

    def prepare(self, source: Path | np.ndarray) -> np.ndarray:
        """Read one sound as [samples] float32, 16 kHz, mono. Raises DataError."""
        return read_sound(source)

    def encode(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """Encode sounds to [n, 200] float32: the last layer but one, the mean over windows of 3 s."""
        return np.stack([self.windows(sound)[0].mean(0) for sound in batch])

    def tag(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """Return the confidence of each tag [n, tags] float32 in sounds: the mean over windows of 3 s."""
        return np.stack([self.windows(sound)[1].mean(0) for sound in batch])

    def windows(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the last layer but one [windows, 200] and the tags' confidences [windows, tags] of a prepared sound.

        What is left at the end of a sound, less than a window, is not heard; a sound shorter than that is repeated.
        """
        import torch

        from recommender.encoders.musicnn_network import BANDS, FRAMES, HOP, spectrogram

        model, device = self._model(), best_device()
        least = (FRAMES - 1) * HOP
        whole = np.tile(sound, -(-least // len(sound))) if len(sound) < least else sound
        with torch.inference_mode():
            seen = spectrogram(torch.from_numpy(whole).to(device))
            cut = seen[: len(seen) // FRAMES * FRAMES].reshape(-1, FRAMES, BANDS)
            parts = [model(part) for part in cut.split(_AT_ONCE)]
            numbers, logits = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
            return numbers.cpu().numpy(), logits.sigmoid().cpu().numpy()

    def moments(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what is heard at each moment of a prepared sound: vectors [moments, 200], when each is, in seconds
        [moments], and its share of the sound's vector [moments]: a window's vector at each of its thirds."""
        numbers, _ = self.windows(sound)
        states = np.repeat(numbers, 3, axis=0)
        seconds = min(len(sound) / SAMPLE_RATE, float(len(states)))
        return states, (np.arange(len(states)) + 0.5) * seconds / len(states), np.full(len(states), 1 / len(states))

    def _build(self) -> Musicnn:
        from safetensors.torch import load_file

        from recommender.encoders.musicnn_network import Musicnn

        model = Musicnn(len(self.tags))
        found = load_file(self.folder / WEIGHTS)
        expected = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
        if missing := sorted(expected.symmetric_difference(found)):
            raise ValueError(f"{WEIGHTS}: {missing[0]} is missing or unknown")
        model.load_state_dict(found, strict=False)
        return model.eval().to(best_device())


def audio_encoder(name: str, window_seconds: float = 30.0) -> AudioEncoder | MusicEncoder:
    """Return the encoder of a name or folder: musicnn, or else Whisper."""
    return MusicEncoder(name) if is_music(name) else AudioEncoder(name, window_seconds)


def hears_speech(name: str | None) -> bool:
    """Return whether the audio encoder of a name, None for none, writes down what is said."""
    return name is not None and not is_music(name)


def is_music(name: str) -> bool:
    """Return whether a name is that of a musicnn: an embedded one, or a folder whose config.json says so."""
    if assets.is_embedded(name):
        return name.startswith(f"{_KIND}-")
    folder = Path(name).expanduser()
    return folder.is_dir() and transformers_type(folder) == _KIND
