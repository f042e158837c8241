"""Adds to a checkpoint what the items' pictures show, without training it again; and reads the pictures a second time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recommender.config import MODALITIES, Config, Modality
from recommender.data.catalogue import Catalogue
from recommender.encoders.broken_media import without_broken_media
from recommender.encoders.features import Features
from recommender.encoders.labels import MEDIA_LABELS, MediaLabels, label_media, said_of_labels
from recommender.encoders.pipeline import encode_catalogue, reduce
from recommender.errors import CheckpointError, DataError
from recommender.model.card import LABELS
from recommender.model.checkpoint import CONFIG, reading, resolve, save_copy_with
from recommender.model.manifest import catalogue_facts, check_target, read_manifest
from recommender.progress import Progress

#: by how much a number of a vector may differ from the checkpoint's, which are kept in 16 bits
_ROUNDING = 5e-2


def add_media_labels(
    source: str | Path, output: Path | None = None, items: str | None = None, progress: Progress | None = None
) -> MediaLabels:
    """Label the media that a checkpoint was trained on, and keep the labels in it, or in a copy at `output`.

    `items`: the table of its items, if it is not where its config says. A label stays only if its medium is the one that the
    checkpoint holds a vector of. Raises CheckpointError for another catalogue, DataError if no tower of it tells what it
    sees or hears.
    """
    folder = resolve(source)
    output = output or folder
    check_target(output)
    manifest = read_manifest(folder)
    with reading(folder):
        config = Config.load(folder / CONFIG)
        features = Features.load(folder / "features.safetensors")
    catalogue = without_broken_media(Catalogue.load(items or config.data.items, config.data), config, progress)
    if catalogue.fingerprint != catalogue_facts(folder, manifest)["fingerprint"]:
        raise CheckpointError(f"{folder}: made for another catalogue", "give the table that it was trained on: --items")
    labels = label_media(catalogue, config.encoders, progress)
    if labels is None:
        raise DataError(
            "none of its encoders tells what it sees or hears",
            "labels come from an image tower with a classifier or a text tower, as efficientnet-lite0 has",
        )
    for modality in labels.kinds:
        labels = labels.without(modality, _others(labels, modality, catalogue, config, features))
    save_copy_with(folder, output, {MEDIA_LABELS: labels.save}, {LABELS: said_of_labels(labels)})
    return labels


def _others(
    labels: MediaLabels, modality: Modality, catalogue: Catalogue, config: Config, features: Features
) -> list[int]:
    """Return the items with a sure label whose medium is another than that which the checkpoint has read."""
    sure = [item for item in range(len(catalogue)) if labels.sure(modality, item)]
    if not sure:
        return []
    only: dict[str, None] = {name: None for name in MODALITIES if name != modality}
    encoders = config.encoders.model_copy(update={**only, "transcript": False})
    raw = encode_catalogue(Catalogue([catalogue[item] for item in sure]), encoders)
    again = reduce(raw, {m: r for m, r in features.reductions.items() if m == modality})
    kept = features.rows(modality, np.array(sure))
    same = np.isclose(again.vectors[modality], kept, atol=_ROUNDING).all(1) & features.present[modality][sure]
    return [item for item, is_same in zip(sure, same.tolist(), strict=True) if not is_same]
