"""The two pictures of a report: a heat map over the item's picture, and a waveform with marked seconds.

Drawn by Pillow, which reads the pictures anyway. Orange raises the score and blue lowers it, a pair that colour-blind people
tell apart; the stronger, the less see-through.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recommender.attribution.moments import Windows
from recommender.attribution.regions import Regions

_RAISES, _LOWERS = np.array([230, 97, 1]), np.array([33, 102, 172])
_INK, _SOFT, _PAPER = (31, 41, 51), (120, 130, 140), (255, 255, 255)
#: how much of the strongest region's colour covers the picture
_OPAQUE = 0.7
#: a value is written into a region, or over a second, where it is at least this share of the strongest
_WRITTEN, _WRITTEN_SECONDS = 0.35, 0.7
_LONGEST_SIDE, _WIDTH, _HEIGHT = 480, 900, 220


def heat_map(regions: Regions, values: np.ndarray) -> bytes:
    """Return a PNG of a picture under its regions' colours; `values` [regions] in nats, the strongest are written in."""
    width, height = regions.picture.size
    scale = _LONGEST_SIDE / max(width, height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    grey = np.asarray(regions.picture.resize(size, Image.Resampling.BICUBIC), np.float32)
    grey = 0.35 * grey + 0.65 * grey.mean(2, keepdims=True)
    strongest = max(float(np.abs(values).max()), 1e-12)
    boxes = [tuple(round(edge * scale) for edge in box) for box in regions.boxes]
    for value, (left, top, right, bottom) in zip(values.tolist(), boxes, strict=True):
        share = _OPAQUE * abs(value) / strongest
        part = grey[top:bottom, left:right]
        grey[top:bottom, left:right] = (1 - share) * part + share * (_RAISES if value > 0 else _LOWERS)
    drawn = Image.fromarray(grey.round().astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    for value, box in zip(values.tolist(), boxes, strict=True):
        pen.rectangle(box, outline=(255, 255, 255))
        if abs(value) >= _WRITTEN * strongest:
            middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            pen.text(middle, signed(value), _PAPER, _font(15), "mm", stroke_width=2, stroke_fill=_INK)
    return _png(drawn)


def waveform(windows: Windows, values: np.ndarray) -> bytes:
    """Return a PNG of a sound over time; each window has the colour of its value [windows], in nats."""
    drawn = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    pen = ImageDraw.Draw(drawn)
    strongest = max(float(np.abs(values).max()), 1e-12)
    edges = [round(edge / windows.seconds * (_WIDTH - 1)) for edge in windows.edges.tolist()]
    floor = _HEIGHT - 24
    for value, left, right in zip(values.tolist(), edges, edges[1:], strict=False):
        share = _OPAQUE * abs(value) / strongest
        colour = (1 - share) * 255 + share * (_RAISES if value > 0 else _LOWERS)
        pen.rectangle((left, 0, right, floor), fill=tuple(colour.round().astype(int).tolist()))
    for column, level in enumerate(_levels(windows.sound, _WIDTH)):
        half = level * (floor / 2 - 6)
        pen.line((column, floor / 2 - half, column, floor / 2 + half), fill=_INK)
    for value, left, right in zip(values.tolist(), edges, edges[1:], strict=False):
        if abs(value) >= _WRITTEN_SECONDS * strongest and right - left > 24:
            middle = (left + right) / 2, 10
            pen.text(middle, signed(value), _INK, _font(11), "mm", stroke_width=2, stroke_fill=_PAPER)
    _write_seconds(pen, windows.seconds, floor)
    return _png(drawn)


def signed(value: float) -> str:
    """Return nats with their sign, short: +0.12, -1.3, +0.004."""
    return f"{value:+.2f}" if abs(value) >= 0.01 else f"{value:+.1g}"


def _write_seconds(pen: ImageDraw.ImageDraw, seconds: float, floor: int) -> None:
    step = next(step for step in (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600) if seconds / step <= 12 or step == 3600)
    for number in range(int(seconds / step) + 1):
        at = number * step / seconds * (_WIDTH - 1)
        anchor = "la" if number == 0 else "ra" if at > _WIDTH - 30 else "ma"
        pen.line((at, floor, at, floor + 4), fill=_SOFT)
        pen.text((at, floor + 6), f"{number * step:g} s", _SOFT, _font(12), anchor)


def _levels(sound: np.ndarray, columns: int) -> np.ndarray:
    """Return the loudest level of each column of a picture, 0 to 1 of the loudest sample."""
    starts = np.linspace(0, len(sound), columns, endpoint=False).astype(int)
    peaks = np.maximum.reduceat(np.abs(sound), starts)
    return np.asarray(peaks / max(float(peaks.max()), 1e-9))


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
