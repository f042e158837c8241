"""The semantic ids of a catalogue: a few codes an item, unique, and open to items that appear later."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from recommender.config import SemanticIdsConfig
from recommender.data.catalogue import Catalogue
from recommender.errors import CheckpointError, ConfigError, DataError
from recommender.files import replacing
from recommender.semantic_ids.code_meanings import CodeMeaning, code_meanings
from recommender.semantic_ids.code_usage import SemanticIdsReport, code_usage
from recommender.semantic_ids.modalities import FeaturesLike, join_modalities
from recommender.semantic_ids.residual_kmeans import assign_codes, collision_digits, finite_vectors, fit_levels
from recommender.strict.tensor_files import check_types, read_header


@dataclass(frozen=True)
class SemanticIds:
    """The codes of a catalogue's items.

    Without centroids there is one level and each item is a code of its own (atomic). Otherwise the levels are
    those of a residual k-means, one for each entry of `centroids`, and a last one that tells apart items
    whose k-means codes are the same. Only the last level ever grows, so earlier codes keep their numbers.
    """

    codes: np.ndarray
    """[items, levels] int64, rows unique."""
    sizes: tuple[int, ...]
    """Number of codes of each level."""
    centroids: tuple[np.ndarray, ...] = field(default=())
    """[codes, width] float32 of each k-means level."""

    @classmethod
    def atomic(cls, items: int) -> SemanticIds:
        """One level with one code an item: its index."""
        return cls(np.arange(items, dtype=np.int64)[:, None], (items,))

    @classmethod
    def fit(
        cls, vectors: np.ndarray, levels: int, codebook_size: int, seed: int = 0, collision_limit: float = 1.0
    ) -> SemanticIds:
        """Residual k-means of `vectors` [items, width] in `levels` levels, then the one against collisions.

        A level has fewer than `codebook_size` codes where fewer distinct vectors are left. Raises ConfigError
        if more than the share `collision_limit` of the items share their k-means codes.
        """
        centroids, prefixes = fit_levels(finite_vectors(vectors), levels, codebook_size, seed)
        digits = collision_digits(prefixes, {})
        sizes = (*(len(level) for level in centroids), int(digits.max()) + 1)
        ids = cls(np.column_stack([prefixes, digits]), sizes, tuple(centroids))
        _check_collisions(ids.report().collision_rate, collision_limit, levels, codebook_size)
        return ids

    @classmethod
    def build(cls, config: SemanticIdsConfig, features: FeaturesLike, items: int, seed: int = 0) -> SemanticIds:
        """The ids that the configuration asks for: atomic with one level, else from the joined modalities."""
        if config.levels == 1:
            return cls.atomic(items)
        vectors = join_modalities(features, config.fusion, config.weights)
        return cls.fit(vectors, config.levels, config.codebook_size, seed, config.collision_limit)

    @property
    def levels(self) -> int:
        """Number of codes of an item, the one against collisions included."""
        return len(self.sizes)

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.codes)

    def with_new_items(self, vectors: np.ndarray) -> SemanticIds:
        """Append items with `vectors` [new items, width], joined as for `fit`; known items keep their codes.

        Atomic ids take the next free codes and look at the number of vectors only. Raises DataError if the
        width differs from that of the centroids.
        """
        if not self.centroids:
            new_codes = self.sizes[0] + np.arange(len(vectors), dtype=np.int64)[:, None]
        else:
            prefixes = self._prefixes(finite_vectors(vectors))
            next_free: dict[tuple[int, ...], int] = {}
            for *prefix, digit in self.codes.tolist():
                next_free[tuple(prefix)] = max(next_free.get(tuple(prefix), 0), digit + 1)
            new_codes = np.column_stack([prefixes, collision_digits(prefixes, next_free)])
        codes = np.concatenate([self.codes, new_codes])
        last = max(self.sizes[-1], int(codes[:, -1].max()) + 1)
        return SemanticIds(codes, (*self.sizes[:-1], last), self.centroids)

    def report(self) -> SemanticIdsReport:
        """Collisions before the last level, and how well each level's codes are used."""
        return code_usage(self.codes, self.sizes)

    def describe(self, catalogue: Catalogue, level: int, most: int = 5) -> dict[int, CodeMeaning]:
        """What each used code of a level means, in words of the catalogue; see `code_meanings`."""
        return code_meanings(self.codes[:, level], catalogue, most)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        path = Path(path)
        tensors = {f"centroids.{level}": centroids for level, centroids in enumerate(self.centroids)}
        tensors |= {
            "codes": np.ascontiguousarray(self.codes),
            "sizes": np.asarray(self.sizes, dtype=np.int64),
        }
        with replacing(path) as temporary:
            save_file(tensors, temporary)

    @classmethod
    def load(cls, path: str | Path) -> SemanticIds:
        """Read what `save` wrote. Raises CheckpointError if the file is missing, damaged or inconsistent."""
        header = read_header(Path(path), "semantic ids")
        whole = ("codes", "sizes")
        centroid_names = [f"centroids.{level}" for level in range(len(header) - len(whole))]
        missing = {*whole, *centroid_names} - set(header)
        if missing:
            raise CheckpointError(f"{path}: holds no {' and no '.join(sorted(missing))}; not a file of semantic ids")
        check_types(Path(path), {name: header[name] for name in whole}, ("I64",))
        check_types(Path(path), {name: header[name] for name in centroid_names}, ("F32",))
        tensors = load_file(path)
        codes, sizes = tensors["codes"], tensors["sizes"]
        centroids = tuple(tensors[name] for name in centroid_names)
        _check_consistent(path, codes, sizes, centroids)
        return cls(codes, tuple(sizes.tolist()), centroids)

    def _prefixes(self, vectors: np.ndarray) -> np.ndarray:
        """The k-means codes [items, k-means levels] of vectors [items, width]."""
        width = self.centroids[0].shape[1]
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise DataError(
                f"new items: vectors have the shape {list(vectors.shape)}, expected [items, {width}]",
                "encode the new items with the encoders and the configuration of the old ones",
            )
        return assign_codes(vectors, self.centroids)


def _check_collisions(rate: float, limit: float, levels: int, codebook_size: int) -> None:
    if rate > limit:
        raise ConfigError(
            f"semantic_ids: {rate:.0%} of the items share their {levels} k-means codes with another item,"
            f" the limit is {limit:.0%}",
            f"raise semantic_ids.codebook_size (now {codebook_size}) or semantic_ids.levels (now {levels})",
        )


def _check_consistent(
    path: str | Path, codes: np.ndarray, sizes: np.ndarray, centroids: tuple[np.ndarray, ...]
) -> None:
    levels = len(centroids) + 1
    if codes.ndim != 2 or codes.shape[1] != levels or sizes.shape != (levels,):
        raise CheckpointError(f"{path}: codes {list(codes.shape)} do not fit {levels} levels")
    if any(len(level.shape) != 2 or len(level) != size for level, size in zip(centroids, sizes, strict=False)):
        raise CheckpointError(f"{path}: sizes {sizes.tolist()} do not fit the centroids")
    if sizes[-1] > len(codes):  # it tells apart items
        raise CheckpointError(f"{path}: the last level claims {sizes[-1]} codes for {len(codes)} items")
    if (codes < 0).any() or (codes >= sizes).any() or len(np.unique(codes, axis=0)) != len(codes):
        raise CheckpointError(f"{path}: codes are out of range or shared by two items")
