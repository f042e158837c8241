"""Sounds -> vectors: the encoder of a Whisper model, its states averaged over the unpadded sound; and transcripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender import assets
from recommender.data.media import read_audio
from recommender.encoders.encoder import Lazy, best_device, embedded_identity, files_hash, loading
from recommender.encoders.model_folders import folder_of, transformers_type
from recommender.encoders.transcripts import has_sound, spoken
from recommender.encoders.transformers_whisper import load_whisper
from recommender.errors import ConfigError, DataError, did_you_mean, import_extra

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 16_000
_SAMPLES_PER_STATE = 320
# Sounds are padded to a multiple of half a second, not to 30 s: what is computed for a short one is short, and
# sounds of about one length still share a batch. The length follows from the sound alone, never from its batch.
# The price: Whisper was trained on 30 s, and what it makes of a shorter input differs from its padded reading. With
# tiny.en the cosine between the two means is .97 for spoken titles of 1 to 5 s, .94 (at worst .76) for 3 s of music.
_STEP = SAMPLE_RATE // 2
#: of a folder of transformers
_FILES = ("*.json", "*.safetensors", "*.bin")
_BATCH_SECONDS = 240


class AudioEncoder:
    """A frozen Whisper model: an embedded name, one that openai-whisper lists ("tiny.en", "small"), a .pt file, a folder
    with one or in the layout of transformers, or a name on the hub ("openai/whisper-small")."""

    def __init__(self, name: str, window_seconds: float = 30.0) -> None:
        self.name = name
        self.window = round(window_seconds * SAMPLE_RATE)
        self._model = Lazy(lambda: loading(name, "audio", self._build))

    @cached_property
    def folder(self) -> Path | None:
        """The model's folder, None for a file and for what openai-whisper fetches by name. Raises AssetError."""
        path = Path(self.name).expanduser()
        on_hub = "/" in self.name and not path.is_file()
        return folder_of(self.name, "audio") if assets.is_embedded(self.name) or path.is_dir() or on_hub else None

    @cached_property
    def _of_transformers(self) -> bool:
        """Whether the folder is in the layout of transformers. Raises ConfigError for another model than Whisper."""
        kind = None if self.folder is None or any(self.folder.glob("*.pt")) else transformers_type(self.folder)
        if kind not in (None, "whisper"):
            message = f"encoders.audio: {self.folder} holds a model of the type {kind!r}, which is no Whisper"
            raise ConfigError(message, "give a Whisper model, or vectors: encoders.audio: {vectors: FILE}")
        return kind is not None

    @cached_property
    def weights(self) -> str:
        """What whisper.load_model takes: a file, or a published name. Raises AssetError and ConfigError."""
        if self.folder is not None:
            return str(_only_weights(self.folder))
        return self.name if Path(self.name).is_file() else _published(self.name)

    @cached_property
    def weights_identity(self) -> str:
        """What identifies the weights. Published weights never change under one name."""
        if assets.is_embedded(self.name):
            return embedded_identity(self.name)
        if self._of_transformers and self.folder is not None:
            return files_hash(file for kind in _FILES for file in self.folder.glob(kind))
        return files_hash([Path(self.weights)]) if Path(self.weights).is_file() else self.weights

    @cached_property
    def identity(self) -> str:
        """What the vectors depend on besides the sound."""
        return f"audio-1 {self.weights_identity} {self.window}"

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError and ConfigError."""
        self._model()

    def prepare(self, source: Path | np.ndarray) -> np.ndarray:
        """Read one sound as [samples] float32, 16 kHz, mono. Raises DataError."""
        return read_sound(source)

    def encode(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """Encode sounds to [n, width] float32: the mean over windows, each weighted by its length."""
        pieces = [
            (number, sound[start : start + self.window])
            for number, sound in enumerate(batch)
            for start in range(0, len(sound), self.window)
        ]
        pooled = self._pooled([piece for _, piece in pieces])
        totals = np.zeros((len(batch), pooled.shape[1]), np.float64)
        for (number, piece), vector in zip(pieces, pooled, strict=True):
            totals[number] += len(piece) / len(batch[number]) * vector
        return totals.astype(np.float32)

    def moments(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the tower hears at each moment of a prepared sound: states [moments, width], when each is, in seconds
        [moments], and its share of the sound's vector [moments], which is their weighted mean."""
        states, times, shares = [], [], []
        for start in range(0, len(sound), self.window):
            piece = sound[start : start + self.window]
            heard = self._states([piece], -(-len(piece) // _STEP) * _STEP)[0].float().cpu().numpy()
            states.append(heard)
            times.append((start + (np.arange(len(heard)) + 0.5) * _SAMPLES_PER_STATE) / SAMPLE_RATE)
            shares.append(np.full(len(heard), len(piece) / len(sound) / len(heard)))
        return np.concatenate(states), np.concatenate(times), np.concatenate(shares)

    def transcript(self, sound: np.ndarray, hint: str | None = None, between: Callable[[], None] = lambda: None) -> str:
        """Return what is said in a prepared sound, by Whisper's own greedy decoding; "" if nothing is, see `spoken`.

        `hint`: words that may well be said; Whisper takes them for what was said before. `between`: called before each
        layer of each step; what it raises ends the work.
        """
        options: dict[str, Any] = {
            "temperature": 0.0,
            "condition_on_previous_text": False,
            "fp16": False,
            "verbose": None,
        }
        options |= {"initial_prompt": hint} if hint else {}
        if not has_sound(sound, SAMPLE_RATE):
            return ""
        model = self._model()
        layers = (*model.encoder.blocks, *model.decoder.blocks)
        hooks = [layer.register_forward_pre_hook(lambda *_: between()) for layer in layers]
        try:
            return spoken(model.transcribe(sound, **options)["segments"])
        finally:
            for hook in hooks:
                hook.remove()

    def _pooled(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        """Encode windows [n, width], batching those of one padded length."""
        groups: dict[int, list[int]] = defaultdict(list)
        for number, piece in enumerate(pieces):
            groups[-(-len(piece) // _STEP) * _STEP].append(number)
        vectors: dict[int, np.ndarray] = {}
        for length, numbers in groups.items():
            most = max(1, _BATCH_SECONDS * SAMPLE_RATE // length)
            for start in range(0, len(numbers), most):
                batch = numbers[start : start + most]
                vectors |= zip(batch, self._pooled_group([pieces[n] for n in batch], length), strict=True)
        return np.stack([vectors[number] for number in range(len(pieces))])

    def _pooled_group(self, pieces: Sequence[np.ndarray], length: int) -> np.ndarray:
        """Encode windows padded to `length` samples; states of the padding are left out of the mean."""
        import torch

        means = [states.mean(dim=0) for states in self._states(pieces, length)]
        return np.asarray(torch.stack(means).float().cpu().numpy())

    def _states(self, pieces: Sequence[np.ndarray], length: int) -> list[torch.Tensor]:
        """Return the encoder's states [moments, width] of windows padded to `length` samples, without the padding's."""
        import torch

        whisper = _whisper()
        model = self._model()
        with torch.inference_mode():
            # One by one: Whisper's log-mel is relative to the loudest value of all that it is given.
            mels = [
                whisper.log_mel_spectrogram(whisper.pad_or_trim(piece, length), model.dims.n_mels, device=model.device)
                for piece in pieces
            ]
            states = encoder_states(model.encoder, torch.stack(mels))
            counts = [-(-len(piece) // _SAMPLES_PER_STATE) for piece in pieces]
            return [row[:count] for row, count in zip(states, counts, strict=True)]

    def _build(self) -> Any:
        _whisper()  # before anything is fetched
        if self._of_transformers and self.folder is not None:
            return load_whisper(self.folder).to(best_device()).float().eval()
        return _whisper().load_model(self.weights, device=best_device()).float().eval()


def read_sound(source: Path | np.ndarray) -> np.ndarray:
    """Read one sound, or check samples of one, as [samples] float32, 16 kHz, mono. Raises DataError."""
    sound = source if isinstance(source, np.ndarray) else read_audio(source, SAMPLE_RATE)
    if sound.ndim != 1 or not len(sound):
        where = "the sound" if isinstance(source, np.ndarray) else source
        raise DataError(f"{where}: expected at least one sample of mono sound, found shape {sound.shape}")
    if not np.isfinite(sound).all():
        raise DataError("the sound holds values that are no numbers", "replace it")
    return sound.astype(np.float32)


def encoder_states(encoder: Any, mel: torch.Tensor) -> torch.Tensor:
    """Run Whisper's encoder on a log-mel spectrogram [n, mels, frames] of any even length up to 3,000.

    Returns [n, frames / 2, width], the positions counted from the start; with 3,000 frames the same as calling
    the encoder.
    """
    import torch.nn.functional as functional

    states = functional.gelu(encoder.conv1(mel))
    states = functional.gelu(encoder.conv2(states)).permute(0, 2, 1)
    states = states + encoder.positional_embedding[: states.shape[1]]
    for block in encoder.blocks:
        states = block(states)
    return encoder.ln_post(states)


def _whisper() -> ModuleType:
    return import_extra("whisper", "the audio encoder", "speech", "set encoders.audio: null")


def _only_weights(folder: Path) -> Path:
    files = sorted(folder.glob("*.pt"))
    if len(files) != 1:
        message = f"encoders.audio: {folder} holds {len(files)} .pt files, expected one"
        raise ConfigError(message, "give the path of the file, or a folder of transformers with its config.json")
    return files[0]


def _published(name: str) -> str:
    known = _whisper().available_models()
    if name not in known:
        hint = did_you_mean(name, known) or f"known: {', '.join(known)}; or give a .pt file"
        raise ConfigError(f"encoders.audio: openai-whisper has no model {name!r}", hint)
    return name
