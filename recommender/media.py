"""Reading pictures and sounds: what a file really holds, or one clear line about why it cannot be used."""

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

SILENT_PEAK = 1e-3
"""A sound that never exceeds this share of full scale (-60 dB) is silent."""
CLIPPED_SHARE = 0.01
"""A sound with more than this share of its samples at full scale is clipped."""
_FULL_SCALE = 0.999


def read_image(path: Path) -> Image.Image:
    """Return a fully decoded picture, upright and in RGB. Raises DataError for whatever is no whole picture."""
    _not_empty(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                return ImageOps.exif_transpose(picture).convert("RGB")
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture in a known format", "save it as JPEG or PNG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: the picture has too many pixels", "scale it down, 1024 pixels are plenty") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: a damaged picture ({error})", "replace the file") from None


def read_audio(path: Path, rate: int = 16_000) -> np.ndarray:
    """Return a sound as mono float32 [samples] at `rate` hertz. Raises DataError for whatever is no sound."""
    _not_empty(path)
    try:
        samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        reason = str(error).removeprefix(f"Error opening {str(path)!r}: ").rstrip(".")
        raise DataError(f"{path}: not a readable sound ({reason})", "save it as WAV, FLAC, Ogg or MP3") from None
    if len(samples) == 0:
        raise DataError(f"{path}: the sound has no samples", "replace the file, or leave the field blank")
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: the sound holds values that are no numbers", "replace the file")
    mono = samples.mean(axis=1)
    if own_rate != rate:
        common = gcd(own_rate, rate)
        mono = resample_poly(mono, rate // common, own_rate // common)
    return np.ascontiguousarray(mono, dtype=np.float32)


def content_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes, as hexadecimal digits. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path and its permissions") from None


def audio_faults(samples: np.ndarray) -> tuple[str, ...]:
    """Return what is wrong with a readable sound [samples]: `silent`, `clipped`."""
    levels = np.abs(samples)
    if levels.max(initial=0) < SILENT_PEAK:
        return ("silent",)
    return ("clipped",) if (levels >= _FULL_SCALE).mean() > CLIPPED_SHARE else ()


def image_faults(picture: Image.Image) -> tuple[str, ...]:
    """Return what is wrong with a readable picture: `blank` if it is of one colour."""
    return ("blank",) if all(low == high for low, high in picture.getextrema()) else ()  # type: ignore[misc]


def _not_empty(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path and its permissions") from None
    if size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)", "replace the file, or leave the field blank")
