"""Reads pictures and sounds from files; a file that cannot be used is one clear error line."""

from __future__ import annotations

import hashlib
import warnings
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.signal import resample_poly

from recommender.errors import DataError
from recommender.files import write_bytes

SILENT_PEAK = 1e-3
"""A sound that never exceeds this share of full scale (-60 dB) is silent."""
CLIPPED_SHARE = 0.01
"""A sound with more than this share of its samples at full scale is clipped."""
BLANK_RANGE = 2
"""A picture is blank if no channel (0 to 255) differs by more than this from one pixel to another."""
_FULL_SCALE = 0.999


def read_image(path: Path) -> Image.Image:
    """Return a fully decoded picture, upright, in RGB, transparency on white, of an animation the first frame.

    Raises DataError for whatever is no whole picture.
    """
    _not_empty(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                return _upright_rgb(picture)
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture in a known format", "save it as JPEG or PNG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: the picture has too many pixels", "scale it down, 1024 pixels are plenty") from None
    except Exception as error:  # on damaged bytes, each format's decoder fails in its own way
        raise DataError(f"{path}: a damaged picture ({_reason(error, path)})", "replace the file") from None


def read_audio(path: Path, rate: int | None = 16_000) -> np.ndarray:
    """Return a sound as mono float32 [samples] at `rate` hertz, or at the file's rate if None. Raises DataError."""
    _not_empty(path)
    try:
        with soundfile.SoundFile(path) as sound:
            file_rate, frames = sound.samplerate, sound.frames
            samples = sound.read(dtype="float32", always_2d=True)
    except Exception as error:  # SoundFileError, and TypeError for formats without a header
        raise _not_readable(path, error) from None
    if len(samples) == 0:
        raise DataError(f"{path}: the sound has no samples", "replace the file, or leave the field blank")
    if len(samples) < frames:
        raise DataError(f"{path}: a damaged sound ({len(samples)} of {frames} samples)", "replace the file")
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: the sound holds values that are no numbers", "replace the file")
    mono = samples.mean(axis=1)
    if rate is not None and file_rate != rate:
        common = gcd(file_rate, rate)
        mono = resample_poly(mono, rate // common, file_rate // common)
    return np.ascontiguousarray(mono, dtype=np.float32)


def audio_seconds(path: Path) -> float:
    """Return how long a sound is, from its header: nothing is decoded. Raises DataError for what is no sound."""
    _not_empty(path)
    try:
        return float(soundfile.info(path).duration)
    except Exception as error:  # as in read_audio
        raise _not_readable(path, error) from None


def _not_readable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a readable sound ({_reason(error, path)})", "save it as WAV, FLAC, Ogg or MP3")


def keep_bytes(data: bytes, folder: Path, suffix: str = "") -> Path:
    """Keep a medium that came as bytes in `folder`, named by its content; returns its path."""
    path = folder / f"{hashlib.sha256(data).hexdigest()}{suffix}"
    if not path.exists():
        write_bytes(path, data)
    return path


def content_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes, as hexadecimal digits. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path and its permissions") from None


def audio_problems(samples: np.ndarray) -> tuple[str, ...]:
    """Return what is wrong with a readable sound [samples]: `silent`, `clipped`."""
    levels = np.abs(samples)
    if levels.max(initial=0) < SILENT_PEAK:
        return ("silent",)
    return ("clipped",) if (levels >= _FULL_SCALE).mean() > CLIPPED_SHARE else ()


def image_problems(picture: Image.Image) -> tuple[str, ...]:
    """Return what is wrong with a readable RGB picture: `blank` if it is of one colour."""
    pixels = np.asarray(picture)
    return ("blank",) if np.ptp(pixels, axis=(0, 1)).max() <= BLANK_RANGE else ()


def _upright_rgb(picture: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I;16", "I;16B", "I;16L", "I"):  # 16 bits a pixel: convert() would cut them off at 255
        upright = Image.fromarray((np.asarray(upright).clip(0, 65_535) / 257).round().astype(np.uint8))
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    layer = upright.convert("RGBA")
    paper = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(paper, layer).convert("RGB")


def _reason(error: Exception, path: Path) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix(f"Error opening {str(path)!r}: ").rstrip(".")


def _not_empty(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path and its permissions") from None
    if size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)", "replace the file, or leave the field blank")
