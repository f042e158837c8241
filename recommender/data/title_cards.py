"""Title cards: a drawn picture for an item that has none."""

from __future__ import annotations

import colorsys
import io
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recommender.data.standin_text import StandinText, text_digest
from recommender.errors import RecommenderError

CARD_SIZE = 224
# Cards are drawn larger and scaled down, for smooth edges.
_SCALE = 2
_SIDE = CARD_SIZE * _SCALE
_MARGIN = 14 * _SCALE
_WIDTH = _SIDE - 2 * _MARGIN
_OLD, _NEW = 1930, 2000
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


def draw_card(text: StandinText) -> bytes:
    """Draw a JPEG of 224 x 224: the title on bands of colour and pattern, one a category, toned by year."""
    lines, font = _fit(_drawable(text.title) or text.item_id)
    top = _SIDE - _MARGIN - 20 * _SCALE - len(lines) * _leading(font)
    edge = top - 10 * _SCALE
    picture = Image.new("RGB", (_SIDE, _SIDE), _panel_colour(text))
    picture.paste(Image.fromarray(_bands(text, edge)))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, top + number * _leading(font)), line, font=font, fill="white", stroke_width=1)
    small = _font(11 * _SCALE)
    footer = " · ".join([*([str(text.year)] if text.year else []), *text.categories])
    draw.text((_MARGIN, _SIDE - _MARGIN - 10 * _SCALE), _cut(_drawable(footer), small), font=small, fill="#ffe9c4")
    buffer = io.BytesIO()
    picture.resize((CARD_SIZE, CARD_SIZE), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _bands(text: StandinText, height: int) -> np.ndarray:
    """Return the bands of all categories, one below the other, [height, side, 3] uint8."""
    names = text.categories or ("",)
    edges = np.linspace(0, height, len(names) + 1).astype(int)
    bands = []
    for name, start, end in zip(names, edges[:-1], edges[1:], strict=True):
        fade = 1.08 - 0.4 * np.linspace(0, 1, end - start, dtype=np.float32)[:, None]
        light = fade + 0.22 * _motif(text_digest(name)[2] % len(_MOTIFS))[start:end]
        bands.append(light[..., None] * _toned(_colour(name), text.year))
    return (np.concatenate(bands) * 255).clip(0, 255).astype(np.uint8)


@lru_cache
def _motif(number: int) -> np.ndarray:
    y, x = np.mgrid[:_SIDE, :_SIDE]
    return _MOTIFS[number](x, y).astype(np.float32) - 0.5


def _colour(name: str) -> np.ndarray:
    """Return the colour [3] of a category, in 0..1: the same in every catalogue."""
    if not name:
        return np.full(3, 0.45, dtype=np.float32)
    digest = text_digest(name)
    return np.array(colorsys.hls_to_rgb(digest[0] / 256, 0.42 + digest[1] / 256 * 0.2, 0.7), dtype=np.float32)


def _toned(colour: np.ndarray, year: int | None) -> np.ndarray:
    """Return a colour [3], 0..1, faded and brownish for old items and vivid for new ones."""
    if year is None:
        return colour
    age = 1 - np.clip((year - _OLD) / (_NEW - _OLD), 0, 1)
    grey = colour.mean() * np.array([1.1, 0.98, 0.8], dtype=np.float32)
    return colour + 0.8 * age * (grey - colour)


def _panel_colour(text: StandinText) -> tuple[int, int, int]:
    colour = _toned(_colour(text.categories[0] if text.categories else ""), text.year) * 0.25
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
