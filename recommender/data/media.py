"""Reads pictures and sounds from files; a file that cannot be used is one clear error line."""

from __future__ import annotations

import hashlib
import io
import os
from functools import cache
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageOps, UnidentifiedImageError

from recommender.errors import DataError
from recommender.files import write_bytes
from recommender.numerics.resampling import resampled

SILENT_PEAK = 1e-3
"""A sound that never exceeds this share of full scale (-60 dB) is silent."""
CLIPPED_SHARE = 0.01
"""A sound with more than this share of its samples at full scale is clipped."""
BLANK_RANGE = 8
"""A picture is blank if no channel (0 to 255) differs by more than this from the usual colour: noise of a dark lens."""
BLANK_SHARE = 1e-3
"""The share of pixels that may differ all the same: those of a sensor that are broken."""
_ENOUGH_PIXELS = 512  # of the shorter side, to tell whether a picture is blank
_FULL_SCALE = 0.999
MEDIA_FOLDERS = "RECOMMENDER_MEDIA_FOLDERS"
"""Names further folders that a table's media may lie in."""
#: formats that are read; others (EPS among them, which Pillow gives to Ghostscript) are no pictures here
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
SOUND_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "MPEG", "AIFF", "AU", "CAF")
#: a picture of 7,000 x 7,000 takes half a gigabyte while it is decoded
MOST_PIXELS = 50_000_000
MOST_SIDES = 50
"""How many times its width a picture may be high, and its height wide."""
SOUND_RATES = (1_000, 384_000)
"""Samples a second, at least and at most."""
MOST_CHANNELS, MOST_SECONDS = 32, 4 * 3600
_BLOCK = 1 << 20


def read_image(source: Path | bytes, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Return a fully decoded picture, upright, in RGB, transparency on white, of an animation the first frame.

    `source`: a file, or the content of one. Format, size and shape are checked before anything is decoded. Raises DataError
    for whatever is no whole picture, has more than `most_pixels`, or is longer than `MOST_SIDES` times its width.
    """
    name = named_medium(source, "the picture")
    try:
        picture = Image.open(_opened(source), formats=_image_formats())
    except UnidentifiedImageError:
        raise DataError(f"{name}: not a picture in a known format", "save it as JPEG or PNG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name) from None
    except Exception as error:  # on damaged bytes, each format's decoder fails in its own way
        raise _damaged(name, error) from None
    with picture:
        _check_size(name, *picture.size, most_pixels)
        try:
            picture.load()
            return _upright_rgb(picture)
        except Exception as error:  # as above
            raise _damaged(name, error) from None


def _check_size(name: str, width: int, height: int, most_pixels: int) -> None:
    if width * height > min(most_pixels, Image.MAX_IMAGE_PIXELS or most_pixels):
        raise _too_large(name)
    if max(width, height) > MOST_SIDES * min(width, height):  # encoders scale the shorter side to a few hundred pixels
        message = f"{name}: {width} x {height} pixels are no picture that an encoder can read"
        raise DataError(message, f"crop it: the longer side may be {MOST_SIDES} times the shorter one")


def _too_large(name: str) -> DataError:
    return DataError(f"{name}: the picture has too many pixels", "scale it down, 1024 pixels are plenty")


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(f"{name}: a damaged picture ({reason_of(error, name)})", "replace the file")


@cache
def _image_formats() -> tuple[str, ...]:
    """Return the formats of `IMAGE_FORMATS` that this Pillow can read."""
    Image.init()
    return tuple(name for name in IMAGE_FORMATS if name in Image.OPEN)


def read_audio(source: Path | bytes, rate: int | None = 16_000) -> np.ndarray:
    """Return a sound as mono float32 [samples] at `rate` hertz, or at the file's rate if None.

    `source`: a file, or the content of one. What its header says is checked before anything is decoded. Raises DataError
    for what is no whole sound and for a header that no recording has: see `_check_header`.
    """
    name = named_medium(source, "the sound")
    try:
        with _sound(source, name) as sound:
            file_rate, frames = sound.samplerate, sound.frames
            blocks = sound.blocks(_BLOCK // sound.channels, dtype="float32", always_2d=True, frames=frames)
            parts = [block.mean(axis=1) for block in blocks]
    except DataError:
        raise
    except Exception as error:
        raise _not_readable(name, error) from None
    mono = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if len(mono) == 0:
        raise DataError(f"{name}: the sound has no samples", "replace the file, or leave the field blank")
    if len(mono) < frames:
        raise DataError(f"{name}: a damaged sound ({len(mono)} of {frames} samples)", "replace the file")
    if not np.isfinite(mono).all():
        raise DataError(f"{name}: the sound holds values that are no numbers", "replace the file")
    if rate is not None and file_rate != rate:
        common = gcd(file_rate, rate)
        mono = resampled(mono, rate // common, file_rate // common)
    return np.ascontiguousarray(mono, dtype=np.float32)


def audio_seconds(source: Path | bytes) -> float:
    """Return how long a sound is, from its header: nothing is decoded. Raises DataError for what is no sound."""
    name = named_medium(source, "the sound")
    with _sound(source, name) as sound:
        return float(sound.frames / sound.samplerate)


def _sound(source: Path | bytes, name: str) -> soundfile.SoundFile:
    """Open a sound whose header is that of a recording. Raises DataError."""
    try:
        sound = soundfile.SoundFile(_opened(source))
    except Exception as error:  # SoundFileError, and TypeError for formats without a header
        raise _not_readable(name, error) from None
    try:
        _check_header(name, sound)
    except DataError:
        sound.close()
        raise
    return sound


def _check_header(name: str, sound: soundfile.SoundFile) -> None:
    """Raise DataError for a format, a rate, channels or a length that would take much work for what no recording has."""
    if sound.format not in SOUND_FORMATS:
        raise DataError(f"{name}: not a sound in a known format ({sound.format})", "save it as WAV, FLAC, Ogg or MP3")
    low, high = SOUND_RATES
    if not low <= sound.samplerate <= high:
        message = f"{name}: {sound.samplerate:,} samples a second; expected {low:,} to {high:,}"
        raise DataError(message, "save it with 16,000")
    if sound.channels > MOST_CHANNELS:
        raise DataError(f"{name}: {sound.channels} channels; at most {MOST_CHANNELS} are read", "mix it down to one")
    if sound.frames > MOST_SECONDS * sound.samplerate:
        raise DataError(f"{name}: more than {MOST_SECONDS // 3600} hours of sound are too long", "cut it")


def _not_readable(name: str, error: Exception) -> DataError:
    return DataError(f"{name}: not a readable sound ({reason_of(error, name)})", "save it as WAV, FLAC, Ogg or MP3")


def is_within(path: Path, folder: Path) -> bool:
    """Whether a medium that a table names lies in the table's folder, or in one that the user has allowed.

    Links are followed: a table is somebody's text, and must not choose which files of this machine are read. `MEDIA_FOLDERS`
    in the environment allows further folders, as PATH names them; it stands neither in a table nor in a config, which may
    come from strangers too.
    """
    allowed = [folder, *map(Path, filter(None, os.environ.get(MEDIA_FOLDERS, "").split(os.pathsep)))]
    try:
        real = path.resolve()
        return any(real.is_relative_to(one.resolve()) for one in allowed)
    except (OSError, ValueError, RuntimeError):  # no name that a file could have, or links in a circle
        return True  # then it is no file either, which is said by who looks for it


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
    # about their middle: a constant voltage is no sound
    if len(samples) == 0 or np.ptp(samples) < 2 * SILENT_PEAK:
        return ("silent",)
    levels = np.abs(samples)
    return ("clipped",) if (levels >= _FULL_SCALE).mean() > CLIPPED_SHARE else ()


def image_problems(picture: Image.Image) -> tuple[str, ...]:
    """Return what is wrong with a readable RGB picture: `blank` if it is of one colour."""
    pixels = np.asarray(picture.reduce(max(min(picture.size) // _ENOUGH_PIXELS, 1)), dtype=np.int16).reshape(-1, 3)
    differs = (np.abs(pixels - np.median(pixels, axis=0)) > BLANK_RANGE).any(axis=1)
    return ("blank",) if differs.mean() <= BLANK_SHARE else ()


def _upright_rgb(picture: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(picture, in_place=True)
    upright: Image.Image = picture
    if upright.mode in ("I;16", "I;16B", "I;16L", "I"):  # 16 bits a pixel: convert() would cut them off at 255
        shades = np.asarray(upright).clip(0, 65_535).astype(np.float32) / 257
        upright = Image.fromarray(shades.round().astype(np.uint8))
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    layer = upright.convert("RGBA")
    paper = Image.new("RGBA", layer.size, "white")
    paper.alpha_composite(layer)
    return paper.convert("RGB")


def reason_of(error: Exception, name: str) -> str:
    """Return what a library said of a medium, in one line without the medium's name."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix(f"Error opening {name!r}: ").partition("<_io.BytesIO")[0].strip(" .:") or "unknown content"


def _opened(source: Path | bytes) -> str | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else str(source)


def named_medium(source: Path | bytes, what: str) -> str:
    """Return what errors call a medium. Raises DataError if it is empty or cannot be read."""
    name, size = what, len(source) if isinstance(source, bytes) else 0
    if isinstance(source, Path):
        name = str(source)
        try:
            size = source.stat().st_size
        except OSError as error:
            hint = "check the path and its permissions"
            raise DataError(f"{name}: cannot be read ({error.strerror})", hint) from None
    if size == 0:
        raise DataError(f"{name}: the file is empty (0 bytes)", "replace the file, or leave the field blank")
    return name
