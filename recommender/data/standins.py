"""Stand-in media for a catalogue without any: a drawn title card and a spoken title for each item.

They let every part that reads images and sound be tried on a table of titles. They are not real media, and
the folder they are written to says so.
"""

from __future__ import annotations

import _ctypes
import colorsys
import ctypes
import hashlib
import io
import math
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFont
from scipy.signal import resample_poly

from recommender.data.catalogue import Catalogue
from recommender.errors import DataError, RecommenderError
from recommender.files import write_bytes
from recommender.progress import Progress

CARD_SIZE = 224
SAMPLE_RATE = 16_000

_README = """# Stand-in media

The pictures and sounds in this folder are stand-ins, not real media. `recommender` drew the title cards and
spoke the titles from what its table says of each item: title, genres (or categories) and year. Colours and
patterns of a card, and pitch, pace and voice of a sound, follow from the genres. Nothing here shows or lets
hear the item itself; a model that learns from these files learns nothing that the table does not say.
"""

# Cards are drawn larger and scaled down, for smooth edges.
_SCALE = 2
_SIDE = CARD_SIZE * _SCALE
_MARGIN = 14 * _SCALE
_WIDTH = _SIDE - 2 * _MARGIN
_CATEGORY_NAMES = ("genres", "genre", "categories", "category", "tags", "class")
_YEAR_NAMES = ("year", "release_year", "date", "release_date")
_OLD, _NEW = 1930, 2000
# In the file names, so that files of an older look or voice are not taken for those of this one.
_EDITION = "1"

_PLAIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "’": "'", "–": "-"}
)

Motif = Callable[[np.ndarray, np.ndarray], np.ndarray]
_MOTIFS: tuple[Motif, ...] = (
    lambda x, y: (x + y) // 28 % 2,
    lambda x, y: np.hypot(x % 40 - 20, y % 40 - 20) < 11,
    lambda x, y: np.hypot(x - _SIDE * 0.8, y - _SIDE * 0.1) // 18 % 2,
    lambda x, y: np.sin((y + 12 * np.sin(x / 22)) / 7) > 0,
    lambda x, y: (y + np.abs(x % 56 - 28)) // 15 % 2,
    lambda x, y: (x // 32 + y // 32) % 2,
    lambda x, y: x // 16 % 2,
    lambda x, y: np.abs(x % 48 - 24) + np.abs(y % 48 - 24) < 17,
)
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_SPEED, _PITCH = 1, 3
_VOICES = ("", "+m3", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4")


@dataclass(frozen=True)
class Sheet:
    """What a stand-in is made from."""

    item_id: str
    title: str
    categories: tuple[str, ...]
    year: int | None

    @property
    def stem(self) -> str:
        """A safe file name that changes with what is drawn and spoken."""
        safe = re.sub(r"[^a-z0-9_-]", "_", self.item_id.lower())[:40]
        content = "\0".join([_EDITION, self.item_id, self.title, str(self.year), *self.categories])
        return f"{safe}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


class Speaker(Protocol):
    """Speaks text: (text, voice, pitch 0..99, words a minute) -> (samples [n] float32 in -1..1, hertz)."""

    def __call__(self, text: str, voice: str, pitch: int, speed: int) -> tuple[np.ndarray, int]:
        """Return the samples and their rate."""


def make_standins(
    catalogue: Catalogue, folder: str | Path, progress: Progress | None = None, sounds: bool = True
) -> Catalogue:
    """Give each item without image a title card and each item without audio a spoken title, kept in `folder`.

    `sounds`: whether titles are spoken, which takes a speech synthesiser.
    Cards are 224 x 224 JPEG files, sounds 16 kHz mono FLAC files. Files that exist are kept, so a broken run
    continues where it stopped. Raises DataError if the folder cannot be written and RecommenderError if there
    are titles to speak and no speech synthesiser.
    """
    folder = Path(folder)
    sheets = [_sheet(catalogue, index) for index in range(len(catalogue))]
    images = {i: folder / "images" / f"{sheets[i].stem}.jpg" for i in range(len(sheets)) if not catalogue[i].image}
    silent = [i for i in range(len(sheets)) if sounds and not catalogue[i].audio]
    audio = {i: folder / "audio" / f"{sheets[i].stem}.flac" for i in silent}
    try:
        write_bytes(folder / "README.md", _README.encode())
        _make(images, lambda i: draw_card(sheets[i]), "drawing title cards", progress)
        if not all(path.exists() for path in audio.values()):
            speak = speaker()
            _make(audio, lambda i: say_title(speak, sheets[i]), "speaking titles", progress)
    except OSError as error:
        problem = f"{folder}: stand-in media cannot be written ({error.strerror or error})"
        raise DataError(problem, "choose another folder") from None
    return catalogue.with_media(images, audio)


def _make(paths: Mapping[int, Path], make: Callable[[int], bytes], what: str, progress: Progress | None) -> None:
    """Write what `make` returns for each index whose file does not exist yet."""
    absent = [index for index, path in paths.items() if not path.exists()]
    for done, index in enumerate(absent, start=1):
        write_bytes(paths[index], make(index))
        if progress is not None:
            progress(what, done, len(absent))


def _sheet(catalogue: Catalogue, index: int) -> Sheet:
    item, facts = catalogue[index], catalogue.facts(index)
    dates = [value for name in _YEAR_NAMES for value in facts.get(name, ())]
    year = re.search(r"\b(1[89]|20)\d\d\b", " ".join([*dates, item.title]))
    named = [facts[name] for name in _CATEGORY_NAMES if name in facts]
    others = [values for name, values in facts.items() if name not in _YEAR_NAMES]
    categories = [*named, *others, ()][0]
    return Sheet(item.item_id, item.title, tuple(categories[:4]), int(year.group()) if year else None)


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.casefold().encode()).digest()


# --- title cards


def draw_card(sheet: Sheet) -> bytes:
    """Draw a JPEG of 224 x 224: the title on bands of colour and pattern, one a category, toned by year."""
    lines, font = _fit(_drawable(sheet.title) or sheet.item_id)
    top = _SIDE - _MARGIN - 20 * _SCALE - len(lines) * _leading(font)
    edge = top - 10 * _SCALE
    picture = Image.new("RGB", (_SIDE, _SIDE), _panel_colour(sheet))
    picture.paste(Image.fromarray(_bands(sheet, edge)))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, top + number * _leading(font)), line, font=font, fill="white", stroke_width=1)
    small = _font(11 * _SCALE)
    footer = " · ".join([*([str(sheet.year)] if sheet.year else []), *sheet.categories])
    draw.text((_MARGIN, _SIDE - _MARGIN - 10 * _SCALE), _cut(_drawable(footer), small), font=small, fill="#ffe9c4")
    buffer = io.BytesIO()
    picture.resize((CARD_SIZE, CARD_SIZE), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _bands(sheet: Sheet, height: int) -> np.ndarray:
    """Return the bands of all categories, one below the other, [height, side, 3] uint8."""
    names = sheet.categories or ("",)
    edges = np.linspace(0, height, len(names) + 1).astype(int)
    bands = []
    for name, start, end in zip(names, edges[:-1], edges[1:], strict=True):
        fade = 1.08 - 0.4 * np.linspace(0, 1, end - start, dtype=np.float32)[:, None]
        light = fade + 0.22 * _motif(_digest(name)[2] % len(_MOTIFS))[start:end]
        bands.append(light[..., None] * _toned(_colour(name), sheet.year))
    return (np.concatenate(bands) * 255).clip(0, 255).astype(np.uint8)


@lru_cache
def _motif(number: int) -> np.ndarray:
    y, x = np.mgrid[:_SIDE, :_SIDE]
    return _MOTIFS[number](x, y).astype(np.float32) - 0.5


def _colour(name: str) -> np.ndarray:
    """The colour [3] of a category, in 0..1: the same in every catalogue."""
    if not name:
        return np.full(3, 0.45, dtype=np.float32)
    digest = _digest(name)
    return np.array(colorsys.hls_to_rgb(digest[0] / 256, 0.42 + digest[1] / 256 * 0.2, 0.7), dtype=np.float32)


def _toned(colour: np.ndarray, year: int | None) -> np.ndarray:
    """Older items look faded and brownish, newer ones vivid: colour [3] -> colour [3], 0..1."""
    if year is None:
        return colour
    age = 1 - np.clip((year - _OLD) / (_NEW - _OLD), 0, 1)
    grey = colour.mean() * np.array([1.1, 0.98, 0.8], dtype=np.float32)
    return colour + 0.8 * age * (grey - colour)


def _panel_colour(sheet: Sheet) -> tuple[int, int, int]:
    colour = _toned(_colour(sheet.categories[0] if sheet.categories else ""), sheet.year) * 0.25
    red, green, blue = (int(255 * part) for part in colour.clip(0, 1))
    return red, green, blue


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RecommenderError("Pillow lacks FreeType and cannot draw title cards", "reinstall pillow")
    return font


def _drawable(text: str) -> str:
    """Return the text in the letters that Pillow's own font has: accents dropped, other scripts left out."""
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return " ".join("".join(letter for letter in plain if letter.isascii() or letter in "·…").split())


def _leading(font: ImageFont.FreeTypeFont) -> int:
    return int(font.size * 1.15)


def _fit(title: str) -> tuple[list[str], ImageFont.FreeTypeFont]:
    """Wrap the title in the largest letters with which it needs few lines; cut what is longer still."""
    for size, most in ((34, 1), (30, 2), (26, 3), (22, 3), (19, 4), (16, 4)):
        font = _font(size * _SCALE)
        lines = _wrap(title, font)
        if len(lines) <= most and all(font.getlength(line) <= _WIDTH for line in lines):
            return lines, font
    return [_cut(line, font) for line in (*lines[:3], " ".join(lines[3:])) if line], font


def _wrap(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > _WIDTH:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _cut(text: str, font: ImageFont.FreeTypeFont) -> str:
    """Cut the text to the width of the card."""
    if font.getlength(text) <= _WIDTH:
        return text
    while text and font.getlength(text + "…") > _WIDTH:
        text = text[:-1]
    return text.rstrip() + "…"


# --- spoken titles


def say_title(speak: Speaker, sheet: Sheet) -> bytes:
    """Speak title and categories, in a voice that the first category decides: a FLAC file, 16 kHz mono."""
    digest = _digest(sheet.categories[0] if sheet.categories else "")
    voice = "en-us" + _VOICES[digest[0] % len(_VOICES)]
    text = ". ".join([sheet.title, *([", ".join(sheet.categories)] if sheet.categories else [])])
    samples, rate = speak(text, voice, 25 + digest[1] % 50, 150 + digest[2] % 50)
    common = math.gcd(rate, SAMPLE_RATE)
    buffer = io.BytesIO()
    samples = resample_poly(samples, SAMPLE_RATE // common, rate // common)
    soundfile.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def speaker() -> Speaker:
    """The speech synthesiser at hand: the library of espeakng-loader, else the espeak-ng program.

    The library comes first because its version, and with it the sound, is the same on every machine.
    """
    try:
        import espeakng_loader
    except ImportError:
        program = shutil.which("espeak-ng")
        if program is None:
            raise RecommenderError(
                "there is no speech synthesiser for stand-in sounds",
                'install one with: pip install "recommender[demo]", or set data.standin_media to false',
            ) from None
        return _Program(program)
    return _Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())


@dataclass(frozen=True)
class _Program:
    """The espeak-ng program, one process an utterance."""

    path: str

    def __call__(self, text: str, voice: str, pitch: int, speed: int) -> tuple[np.ndarray, int]:
        command = [self.path, "--stdout", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdin"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        if done.returncode:
            reason = " ".join(done.stderr.decode(errors="replace").split())
            raise RecommenderError(f"{self.path} failed: {reason}", "install espeakng-loader in its place")
        samples, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
        return samples, rate


@dataclass(frozen=True)
class _Library:
    """The espeak-ng library through ctypes (names and numbers from espeak-ng's speak_lib.h).

    It is loaded anew for each utterance, which takes milliseconds: it keeps the phases of its oscillators in
    static variables, and a title must sound the same whatever was spoken before it.
    """

    library: str
    data: str

    def __call__(self, text: str, voice: str, pitch: int, speed: int) -> tuple[np.ndarray, int]:
        heard: list[np.ndarray] = [np.zeros(1, dtype=np.int16)]

        def hear(samples: Any, count: int, events: int | None) -> int:
            if samples and count > 0:
                heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        espeak = self._load()
        try:
            rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, self.data.encode(), _DONT_EXIT)
            if rate <= 0:
                raise RecommenderError(f"{self.library}: espeak-ng does not start", "reinstall espeakng-loader")
            callback = _CALLBACK(hear)
            espeak.espeak_SetSynthCallback(callback)
            espeak.espeak_ng_SetRandSeed(ctypes.c_long(0))
            espeak.espeak_SetVoiceByName(voice.encode())
            espeak.espeak_SetParameter(_SPEED, speed, 0)
            espeak.espeak_SetParameter(_PITCH, pitch, 0)
            encoded = text.encode() + b"\0"
            espeak.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, _UTF8, None, None)
            espeak.espeak_Terminate()
        finally:
            _unload(espeak)
        return np.concatenate(heard).astype(np.float32) / 32768, rate

    def _load(self) -> ctypes.CDLL:
        try:
            return ctypes.CDLL(self.library)
        except OSError as error:
            raise RecommenderError(f"espeak-ng cannot be loaded: {error}", "reinstall espeakng-loader") from None


def _unload(library: ctypes.CDLL) -> None:
    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)
