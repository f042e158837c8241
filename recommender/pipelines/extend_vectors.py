"""New items of a model that was trained on given vectors: their vectors come from a file again, made by the same model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recommender.config import EncodersConfig, Modality
from recommender.data.catalogue import Catalogue
from recommender.encoders.given_vectors import matched
from recommender.encoders.pipeline import RawFeatures, reduce
from recommender.encoders.vector_files import open_vectors
from recommender.errors import ConfigError, DataError
from recommender.model.checkpoint import Checkpoint
from recommender.numerics.sampling import evenly
from recommender.numerics.vectors import unit_rows

#: items that the model knows, of which a file's vectors are compared with those of training
_COMPARED = 256
#: cosine of what one model says of one item twice; another model's is about 0
_SAME = 0.9


def with_vectors(checkpoint: Checkpoint, files: Mapping[Modality, str]) -> Checkpoint:
    """Return a checkpoint whose config names other files of vectors. Raises ConfigError if its vectors were not given."""
    given = checkpoint.config.encoders.given
    for modality, file in files.items():
        if modality not in given:
            has = ", ".join(given) or "none"
            raise ConfigError(f"--vectors: the model was not trained on given vectors of {modality}", f"it has {has}")
        changes = {f"encoders.{modality}": given[modality].model_dump() | {"vectors": file, "ids": None}}
        checkpoint = replace(checkpoint, config=checkpoint.config.updated(changes, "--vectors"))
    return checkpoint


def encoders_of_new(encoders: EncodersConfig, new: Catalogue) -> EncodersConfig:
    """Return the encoders of new items: without collaborative vectors if the file has none, for nobody took them yet."""
    section = encoders.collaborative
    if section is None or any(name in new for name in open_vectors(section).ids):
        return encoders
    return encoders.model_copy(update={"collaborative": None})


def check_known_vectors(checkpoint: Checkpoint) -> None:
    """Raise DataError if a file has other vectors of items that the model knows than those that it was trained on.

    A file without any of them passes: only its width can be checked.
    """
    features = checkpoint.model.features
    for modality, section in checkpoint.config.encoders.given.items():
        if modality not in features.reductions:
            continue
        file = open_vectors(section)
        there = set(file.ids)
        known = [i for i in np.flatnonzero(features.present[modality]) if checkpoint.catalogue.item_ids[i] in there]
        if not known or modality == "collaborative":  # those are made anew as people take more
            continue
        sample = [known[i] for i in evenly(len(known), min(_COMPARED, len(known)))]
        given = matched(file, modality, Catalogue([checkpoint.catalogue[i] for i in sample]))
        raw = RawFeatures(len(sample), {modality: given}, {modality: given.present}, {modality: given.identity})
        again = reduce(raw, {modality: features.reductions[modality]}).vectors[modality]
        cosine = float((unit_rows(again) * unit_rows(features.vectors[modality][sample])).sum(axis=1).mean())
        if cosine < _SAME:
            raise DataError(
                f"{file.path}: its vectors of items that the model knows are not those of training (cosine {cosine:.2f})",
                "make the vectors of new items with the model that made the others",
            )
