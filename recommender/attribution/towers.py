"""The frozen towers that read a model's pictures and sounds, and why a medium of an item cannot be looked into."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from recommender.config import Config, Modality
from recommender.data.catalogue import Item
from recommender.encoders.audio import AudioEncoder
from recommender.encoders.encoder import Encoder
from recommender.encoders.features import Features
from recommender.encoders.image import ImageEncoder
from recommender.encoders.music import MusicEncoder, audio_encoder
from recommender.encoders.pipeline import RawFeatures, reduce
from recommender.encoders.reduction import Reduction
from recommender.errors import RecommenderError

logger = logging.getLogger(__name__)
Medium = Literal["image", "audio"]
Result = TypeVar("Result")
#: what a report calls the media of an item
NOUNS: dict[Medium, str] = {"image": "picture", "audio": "sound"}
#: by how much a number of a vector may differ from the model's, which are kept in 16 bits
_ROUNDING = 5e-2


class UnavailableError(Exception):
    """A medium cannot be looked into; the text says why, and names no file."""


@lru_cache(maxsize=4)
def image_tower(name: str) -> ImageEncoder:
    """Return the image encoder of a name, which loads its model once for all reports."""
    return ImageEncoder(name)


@lru_cache(maxsize=4)
def sound_tower(name: str, window_seconds: float) -> AudioEncoder | MusicEncoder:
    """Return the audio encoder of a name, which loads its model once for all reports."""
    return audio_encoder(name, window_seconds)


def tower_of(config: Config, features: Features, medium: Medium) -> Encoder:
    """Return the loaded tower that made a model's vectors of a medium. Raises UnavailableError where there is none."""
    noun, name = NOUNS[medium], config.encoders.named(medium)
    if medium not in features.vectors:
        raise UnavailableError(f"the model reads no {noun}s")
    if name is None:
        raise UnavailableError(f"the model's vectors of {noun}s were made elsewhere: nothing here makes others")
    if medium not in features.reductions:
        raise UnavailableError(f"the checkpoint does not tell how its vectors of {noun}s were made: train it again")
    if features.parts(medium) > 1:
        raise UnavailableError(f"the model reads {noun}s in {features.parts(medium)} parts: these are not looked into")
    encoder = image_tower(name) if medium == "image" else sound_tower(name, config.encoders.window_seconds)
    _or_unavailable(encoder.load, f"the {medium} encoder of the model cannot be loaded")
    return encoder


def readable(item: Item, medium: Medium, encoder: Encoder, read: Callable[[Path], Result]) -> Result:
    """Return what `read` makes of an item's picture or sound. Raises UnavailableError if there is no readable one."""
    path = item.image if medium == "image" else item.audio
    if path is None:
        whose = " of its own: its video is not looked into" if item.video else ""
        raise UnavailableError(f"the item has no {NOUNS[medium]}{whose}")
    return _or_unavailable(lambda: read(path), f"the item's {NOUNS[medium]} cannot be read")


def _or_unavailable(work: Callable[[], Result], reason: str) -> Result:
    """Return what `work` returns. An error, which may name files of this machine, is logged, and the reason raised."""
    try:
        return work()
    except RecommenderError as error:
        logger.warning("%s: %s", reason, error.message)
        raise UnavailableError(reason) from None


def reduced(features: Features, medium: Medium, encoder: Encoder, raw: np.ndarray) -> np.ndarray:
    """Return raw vectors [n, raw width] as the model has them, [n, width]: reduced, bounded and rounded.

    Raises UnavailableError if the model's own vectors come from another tower.
    """
    there: dict[Modality, np.ndarray] = {medium: np.ones(len(raw), bool)}
    found = RawFeatures(len(raw), {medium: raw}, there, {medium: encoder.identity})
    reductions: dict[Modality, Reduction] = {medium: features.reductions[medium]}
    reason = f"the model's {NOUNS[medium]}s were read by another encoder than the one that is at hand"
    return _or_unavailable(lambda: reduce(found, reductions).vectors[medium], reason)


def own_vector(features: Features, medium: Medium, item: int, again: np.ndarray) -> np.ndarray:
    """Return the model's vector [width] of an item's medium, which `again` [width] was made of anew.

    Raises UnavailableError if it has none, or of another picture or sound.
    """
    noun = NOUNS[medium]
    if not features.present[medium][item]:
        raise UnavailableError(f"the model has read no {noun} of this item")
    own: np.ndarray = features.rows(medium, np.array([item]))[0]
    if not np.isclose(own, again, atol=_ROUNDING, rtol=_ROUNDING).all():
        raise UnavailableError(f"the item's {noun} is another than the one that the model has read")
    return own


def encoded(encoder: Encoder, prepared: Sequence[object], at_once: int, between: Callable[[], None]) -> np.ndarray:
    """Return the raw vectors [n, raw width] of prepared media, so many at a time; `between` two groups."""
    groups = [prepared[start : start + at_once] for start in range(0, len(prepared), at_once)]
    rows = []
    for group in groups:
        between()
        rows.append(encoder.encode(group))
    return np.concatenate(rows)
