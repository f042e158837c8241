"""What is asked of an attribution, and its report."""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal

from recommender.errors import RecommenderError, shown

#: regions of a picture up to which all sets of them are tried
EXACT_UP_TO = 12
MOST_REGIONS = 64
_LIMITS = {"rows": (1, 16), "columns": (1, 16), "orders": (2, 64), "windows": (1, 64), "history_orders": (2, 64)}


@dataclass(frozen=True)
class MediaOptions:
    """`rows` and `columns` of the grid of regions; `orders` of joining that are drawn where they are more than
    `EXACT_UP_TO`; `history_orders`: those drawn for items of the history; `windows`: the most that a sound is cut into, of
    a second or longer; `fill`: what stands for a region that is left out, the picture's mean colour or its blurred self."""

    rows: int = 4
    columns: int = 4
    orders: int = 6
    history_orders: int = 4
    windows: int = 10
    seed: int = 0
    fill: Literal["mean", "blur"] = "mean"

    def __post_init__(self) -> None:
        """Raises RecommenderError for what cannot be asked for."""
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise RecommenderError(f"media: {name} is {shown(value)}; expected a whole number, {least} to {most}")
        if self.rows * self.columns > MOST_REGIONS:
            raise RecommenderError(f"media: {self.rows} x {self.columns} regions; at most {MOST_REGIONS} are tried")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise RecommenderError(f"media: seed is {shown(self.seed)}; expected a whole number, 0 or more")
        if self.fill not in ("mean", "blur"):
            raise RecommenderError(f"media: fill is {shown(self.fill)}; expected mean or blur")


@dataclass(frozen=True)
class ModalityEffect:
    """`effect`: the Shapley value, in nats, of what item and history have of a modality. `rank_without`: where the item
    would stand. `stable`: left out alone, and the only one, the modality has an effect of the same sign. `imputed`: how many
    of these items lack the modality and are read with what the nearest have."""

    name: str
    effect: float
    rank_without: int
    stable: bool
    imputed: int = 0


@dataclass(frozen=True)
class HistoryEffect:
    """The Shapley value, in nats, of an item of the history."""

    item_id: str
    title: str
    effect: float


@dataclass(frozen=True)
class PictureEffect:
    """Regions of a picture. `values` [rows][columns] in nats add up to `effect`, that of the whole picture against none,
    less `blank`, that of a picture whose regions are all left out. `reliability`: see `numerics.shapley.reliability`."""

    item_id: str
    values: tuple[tuple[float, ...], ...]
    effect: float
    blank: float
    rank_without: int
    reliability: float
    unstable: bool
    png: bytes

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.values), len(self.values[0])


@dataclass(frozen=True)
class SoundWindow:
    """From `start` to `end`, in seconds, and its value in nats."""

    start: float
    end: float
    value: float


@dataclass(frozen=True)
class SoundEffect:
    """Windows of a sound. Their values add up to `effect`, that of the whole sound against none, less `blank`, that of
    silence."""

    item_id: str
    seconds: float
    windows: tuple[SoundWindow, ...]
    effect: float
    blank: float
    rank_without: int
    reliability: float
    unstable: bool
    png: bytes


@dataclass(frozen=True)
class MediaReport:
    """Why an item has its score, by intervention. `score`: that it is ranked by, minus infinity for a seen item where
    baselines rank along; `rank`: among what may be listed, and
    itself; all effects are of the language model's log-probability. `missing`: why there is no picture or sound."""

    item_id: str
    title: str
    score: float
    rank: int
    modalities: tuple[ModalityEffect, ...]
    history: tuple[HistoryEffect, ...]
    picture: PictureEffect | None
    sound: SoundEffect | None
    missing: dict[str, str]
    method: dict[str, Any]

    def to_dict(self, pictures: bool = True) -> dict[str, Any]:
        """Return the report as plain data; `pictures`: with its PNG files as base64, else without them."""
        return {
            "item_id": self.item_id,
            "title": self.title,
            "score": round(self.score, 4) if isfinite(self.score) else None,
            "rank": self.rank,
            "modalities": [_plain(effect) for effect in self.modalities],
            "history": [_plain(effect) for effect in self.history],
            "picture": None if self.picture is None else _picture(self.picture, pictures),
            "sound": None if self.sound is None else _sound(self.sound, pictures),
            "missing": dict(self.missing),
            "method": dict(self.method),
        }


def _plain(effect: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a part of the report, nats to a ten-thousandth."""
    named = {field.name: getattr(effect, field.name) for field in fields(effect) if field.name not in leave_out}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in named.items()}


def _picture(picture: PictureEffect, with_png: bool) -> dict[str, Any]:
    values = [[round(value, 4) for value in row] for row in picture.values]
    told = {"item_id": picture.item_id, "grid": list(picture.grid), "values": values}
    return told | _plain(picture, ("item_id", "values", "png")) | _png(picture.png, with_png)


def _sound(sound: SoundEffect, with_png: bool) -> dict[str, Any]:
    windows = [_plain(window) for window in sound.windows]
    return _plain(sound, ("windows", "png")) | {"windows": windows} | _png(sound.png, with_png)


def _png(png: bytes, with_png: bool) -> dict[str, str]:
    return {"png": base64.b64encode(png).decode()} if with_png else {}
