"""Vectors of a file matched to the items of a catalogue: read in blocks, so that the whole is never in memory twice."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommender.config import Modality, VectorsConfig
from recommender.data.catalogue import Catalogue
from recommender.encoders.vector_files import Take, VectorFile, open_vectors
from recommender.errors import ConfigError, DataError, shown

log = logging.getLogger(__name__)
BLOCK = 1 << 14
_KIND = "vectors-1"


@dataclass(frozen=True)
class GivenVectors:
    """Vectors of some items of a catalogue, read when they are asked for; indexed as a table [items, width] float32.

    `rows` [items]: the place of each item's vector among those that `take` knows, -1 without one. `digest`: a hash of all.
    """

    name: str
    width: int
    rows: np.ndarray
    take: Take
    digest: str

    @property
    def shape(self) -> tuple[int, int]:
        """Items and width."""
        return len(self.rows), self.width

    @property
    def present(self) -> np.ndarray:
        """Which items have a vector, bool [items]."""
        return self.rows >= 0

    @property
    def identity(self) -> str:
        """What stands for the encoder: unknown here, so the width, and the hash of what was given."""
        return f"{_KIND} {self.width} {self.digest[:32]}"

    def __getitem__(self, items: np.ndarray) -> np.ndarray:
        """Return the vectors of items, by a mask or their indices, [n, width] float32; zero where there is none."""
        rows = self.rows[items]
        found = np.zeros((len(rows), self.width), np.float32)
        found[rows >= 0] = self.take(rows[rows >= 0])
        return found

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the items that have vectors, as indices [n], and these [n, width] float32, in the catalogue's order."""
        yield from _blocks(np.flatnonzero(self.present), self.rows, self.take)


def given_vectors(config: VectorsConfig, modality: Modality, catalogue: Catalogue) -> GivenVectors:
    """Open a file of vectors and find those of a catalogue's items. Raises what `open_vectors` and `matched` raise."""
    return matched(open_vectors(config), modality, catalogue)


def matched(file: VectorFile, modality: Modality, catalogue: Catalogue) -> GivenVectors:
    """Return the vectors of a catalogue's items, by their ids; items without one lack the modality, and a note counts them.

    Raises DataError if no item has one, and for numbers that are not finite, naming the item.
    """
    row_of = {name: row for row, name in enumerate(file.ids)}
    of_items = np.array([row_of.get(item_id, -1) for item_id in catalogue.item_ids], np.int64)
    found = np.flatnonzero(of_items >= 0)
    if not len(found):
        raise DataError(
            f"encoders.{modality}: {file.path} has a vector of none of the {len(catalogue)} items, first "
            f"{shown(catalogue.item_ids[0])}; its first id is {shown(file.ids[0])}",
            f"its ids must be item ids; name another file (of new items: recommender extend --vectors {modality}=FILE)",
        )
    if len(found) < len(catalogue):
        log.warning("%s: %d of %d items have no vector there", file.path, len(catalogue) - len(found), len(catalogue))
    rows = np.full(len(catalogue), -1, np.int64)
    rows[found] = np.arange(len(found))
    take = file.prepare(of_items[found])
    digest = hashlib.sha256(f"{_KIND} {file.width} {np.packbits(rows >= 0).tobytes().hex()}".encode())
    for items, vectors in _blocks(found, rows, take):
        if not np.isfinite(vectors).all():
            item = catalogue.item_ids[items[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]]
            raise DataError(
                f"{file.path}: the vector of item {shown(item)} holds a value that is no finite number",
                "leave the item out, or encode it again",
            )
        digest.update(vectors.tobytes())
    return GivenVectors(str(file.path), file.width, rows, take, digest.hexdigest())


def check_identity(modality: Modality, identity: str, expected: str) -> None:
    """Raise ConfigError if vectors come from another encoder than the one of training, or are given in another width."""
    if identity == expected:
        return
    now, then = identity.split(" "), expected.split(" ")
    if now[0] == then[0] == _KIND:
        if now[1] == then[1]:
            return
        raise ConfigError(
            f"encoders.{modality}: the vectors have {now[1]} numbers, and those of training had {then[1]}",
            "give vectors of the same model",
        )
    message = f"encoders.{modality} is not the encoder that the features were fitted with"
    raise ConfigError(message, "use the encoders named in the checkpoint's config, or train again")


def _blocks(items: np.ndarray, rows: np.ndarray, take: Take) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(items), BLOCK):
        part = items[start : start + BLOCK]
        yield part, take(rows[part])
