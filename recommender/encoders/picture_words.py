"""What pictures show, in words: the kinds of things, or the classes of ImageNet, that the image tower is sure of.

A table of them is joined as facts, so that texts, filters and justifications of items without a description know what is on
the cover. It takes a tower with a classifier of these classes, or with a text tower that reads their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue
from recommender.data.standins import without_standins
from recommender.encoders.image import ImageEncoder
from recommender.encoders.labels import SURE, ClassLabeller, PictureLabeller, top_labels
from recommender.encoders.media_words import write_words
from recommender.errors import ConfigError, DataError
from recommender.progress import Progress

#: the name of the column
SHOWN = "shown"


def describe_pictures(
    catalogue: Catalogue,
    config: EncodersConfig,
    least: float = SURE,
    classes: bool = False,
    progress: Progress | None = None,
) -> list[tuple[str, ...]]:
    """Return the words for each item's picture or its video's frames, surest first; none without, or with a stand-in.

    `least`: the confidence from which a word is said; `classes`: ImageNet's 1,000 classes in the place of the kinds into
    which they are grouped, so "Siamese cat" where the tower tells breeds apart, and no cat where it cannot. Labels are kept
    in the encoders' cache. Raises ConfigError for a tower that cannot tell, DataError and AssetError.
    """
    encoder = telling_tower(config)
    labeller = ClassLabeller(encoder) if classes else PictureLabeller(encoder)
    own_media = without_standins(catalogue)
    if not any(item.image or item.video for item in own_media):
        hint = "name files in the column image, or videos in the column video"
        raise DataError("no item has a picture of its own", hint)
    kinds, confidences = top_labels(labeller, "image", own_media, config, progress, videos=True)
    return [said(own, sure, labeller.names, least) for own, sure in zip(kinds, confidences, strict=True)]


def telling_tower(config: EncodersConfig) -> ImageEncoder:
    """Return the image encoder of a config. Raises ConfigError if it cannot tell what it sees, or there is none."""
    name = config.named("image")
    if name is None:
        raise ConfigError("encoders.image: is no encoder, so no picture is looked at", "set it to efficientnet-lite0")
    encoder = ImageEncoder(name)
    if not encoder.tells_classes:
        message = f"encoders.image: {name} has neither a classifier of ImageNet's classes nor a text tower"
        raise ConfigError(message, "name efficientnet-lite0, or a model of CLIP or SigLIP")
    return encoder


def said(kinds: np.ndarray, confidences: np.ndarray, names: Sequence[str], least: float) -> tuple[str, ...]:
    """Return the names of `kinds` [n], -1 for none, whose `confidences` [n] are at least `least`, each once."""
    pairs = zip(kinds.tolist(), confidences.tolist(), strict=True)
    return tuple(dict.fromkeys(names[kind] for kind, confidence in pairs if kind >= 0 and confidence >= least))


def save_picture_words(path: Path, item_ids: Sequence[str], words: Sequence[tuple[str, ...]]) -> None:
    """Write a table of facts with a column `shown`. Raises DataError if no picture has a word."""
    nothing = DataError(
        f"{path}: the tower is sure of nothing that any picture shows; it was not written",
        "lower --least, or give items pictures of their own, in the column image",
    )
    write_words(path, item_ids, {SHOWN: words}, nothing)
