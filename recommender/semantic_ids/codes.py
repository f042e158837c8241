"""Semantic ids: item vectors -> a few codes an item, unique, and open to items that appear later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits

from recommender.config import Modality, SemanticIdsConfig
from recommender.errors import CheckpointError, ConfigError, DataError, did_you_mean
from recommender.files import replacing
from recommender.numerics.vectors import unit_rows

if TYPE_CHECKING:
    from recommender.data.catalogue import Catalogue, Item

Fusion = Literal["concatenation", "average", "weighted"]

# Above this many items k-means sees mini-batches: exact k-means would take minutes for no better codes.
_EXACT_KMEANS_ITEMS = 50_000


class FeaturesLike(Protocol):
    """Vectors [items, width] of each modality (absent rows are zero), and which rows are present [items]."""

    @property
    def vectors(self) -> Mapping[Modality, np.ndarray]:
        """Vectors [items, width] of each modality."""

    @property
    def present(self) -> Mapping[Modality, np.ndarray]:
        """Which rows are present, bool [items] of each modality."""


@dataclass(frozen=True)
class LevelUse:
    """How evenly one level's codes are used."""

    size: int
    used: int
    perplexity: float
    """exp of the entropy of the code frequencies: as many equally frequent codes would be as informative."""

    @property
    def share_used(self) -> float:
        """Share of the codes that at least one item has."""
        return self.used / self.size


@dataclass(frozen=True)
class SemanticIdsReport:
    """What the codes are worth: the level against collisions is left out of the collision figures."""

    items: int
    collision_rate: float
    """Share of the items that share their k-means codes with another item."""
    largest_group: int
    """Number of items behind the most shared k-means codes."""
    levels: tuple[LevelUse, ...]


@dataclass(frozen=True)
class Trait:
    """An attribute value that the items of a code have more often than others."""

    attribute: str
    value: str
    items: int
    lift: float
    """How many times more frequent the value is among the code's items than in the catalogue."""


@dataclass(frozen=True)
class CodeMeaning:
    """What the items of one code have in common."""

    code: int
    items: int
    traits: tuple[Trait, ...]
    titles: tuple[str, ...]


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
        vectors = _finite(vectors)
        centroids, codes, residual = [], [], vectors
        for level in range(levels):
            centroids.append(_centroids(residual, codebook_size, seed + level))
            codes.append(_nearest(residual, centroids[-1]))
            residual = residual - centroids[-1][codes[-1]]
        prefixes = np.stack(codes, axis=1)
        digits = _next_digits(prefixes, {})
        sizes = (*(len(level) for level in centroids), int(digits.max()) + 1)
        ids = cls(np.column_stack([prefixes, digits]), sizes, tuple(centroids))
        _check_collisions(ids.report().collision_rate, collision_limit, levels, codebook_size)
        return ids

    @classmethod
    def build(cls, config: SemanticIdsConfig, features: FeaturesLike, items: int, seed: int = 0) -> SemanticIds:
        """The ids that the configuration asks for: atomic with one level, else from the fused features."""
        if config.levels == 1:
            return cls.atomic(items)
        fused = fuse(features, config.fusion, config.weights)
        return cls.fit(fused, config.levels, config.codebook_size, seed, config.collision_limit)

    @property
    def levels(self) -> int:
        """Number of codes of an item, the one against collisions included."""
        return len(self.sizes)

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.codes)

    def with_new_items(self, vectors: np.ndarray) -> SemanticIds:
        """Append items with `vectors` [new items, width], fused as for `fit`; known items keep their codes.

        Atomic ids take the next free codes and look at the number of vectors only. Raises DataError if the
        width differs from that of the centroids.
        """
        if not self.centroids:
            fresh = self.sizes[0] + np.arange(len(vectors), dtype=np.int64)[:, None]
        else:
            prefixes = self._assign(_finite(vectors))
            known: dict[tuple[int, ...], int] = {}
            for *prefix, digit in self.codes.tolist():
                known[tuple(prefix)] = max(known.get(tuple(prefix), 0), digit + 1)
            fresh = np.column_stack([prefixes, _next_digits(prefixes, known)])
        codes = np.concatenate([self.codes, fresh])
        last = max(self.sizes[-1], int(codes[:, -1].max()) + 1)
        return SemanticIds(codes, (*self.sizes[:-1], last), self.centroids)

    def report(self) -> SemanticIdsReport:
        """Collisions before the last level, and how well each level's codes are used."""
        groups = np.ones(self.items, dtype=np.int64)
        if self.centroids:
            groups = np.unique(self.codes[:, :-1], axis=0, return_counts=True)[1]
        shared = groups[groups > 1].sum() / max(self.items, 1)
        use = tuple(_level_use(self.codes[:, level], size) for level, size in enumerate(self.sizes))
        return SemanticIdsReport(self.items, float(shared), int(groups.max()), use)

    def describe(self, catalogue: Catalogue, level: int, most: int = 5) -> dict[int, CodeMeaning]:
        """What each used code of a level means, in words of the catalogue.

        Traits are the attribute values with the largest p(value | code) log lift, at most `most`; the titles
        are of the items that have most of them.
        """
        everywhere = Counter(pair for item in catalogue for pair in _pairs(item))
        column = self.codes[:, level]
        by_code = np.split(np.argsort(column, kind="stable"), np.cumsum(np.bincount(column))[:-1])
        return {
            code: _meaning(code, [catalogue[int(i)] for i in members], everywhere, len(catalogue), most)
            for code, members in enumerate(by_code)
            if len(members)
        }

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
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: no readable semantic ids ({error})") from None
        missing = {"codes", "sizes"} - set(tensors)
        if missing:
            raise CheckpointError(f"{path}: holds no {' and no '.join(sorted(missing))}; not a file of semantic ids")
        codes, sizes = tensors["codes"], tensors["sizes"]
        centroids = tuple(tensors[f"centroids.{level}"] for level in range(len(tensors) - 2))
        _check_consistent(path, codes, sizes, centroids)
        return cls(codes, tuple(sizes.tolist()), centroids)

    def _assign(self, vectors: np.ndarray) -> np.ndarray:
        """The k-means codes [items, k-means levels] of vectors [items, width]."""
        width = self.centroids[0].shape[1]
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise DataError(
                f"new items: vectors have the shape {list(vectors.shape)}, expected [items, {width}]",
                "encode and fuse the new items with the encoders and the configuration of the old ones",
            )
        codes = []
        for centroids in self.centroids:
            codes.append(_nearest(vectors, centroids))
            vectors = vectors - centroids[codes[-1]]
        return np.stack(codes, axis=1)


def fuse(
    features: FeaturesLike,
    fusion: Fusion = "concatenation",
    weights: Mapping[Modality, float] | None = None,
) -> np.ndarray:
    """Join the modalities of each item to one vector [items, width] float32; absent ones count as zeros.

    Every row of a modality is first scaled to length 1, which depends on no other item. "concatenation" puts
    them side by side, "weighted" does so after multiplying with `weights` (1 where unnamed), "average" takes
    the mean of those present, the narrower padded with zeros to the widest. Raises ConfigError for weights
    that cannot be used.
    """
    if not features.vectors:
        raise ConfigError(
            "semantic_ids: no vectors to make codes from",
            "switch on an encoder, or set semantic_ids.levels: 1",
        )
    scale = _weights(features.vectors, weights or {}) if fusion == "weighted" else dict.fromkeys(features.vectors, 1.0)
    parts = [scale[name] * _unit_rows(rows, features.present[name]) for name, rows in features.vectors.items()]
    if fusion != "average":
        return np.concatenate(parts, axis=1).astype(np.float32)
    widest = max(part.shape[1] for part in parts)
    total = sum(np.pad(part, ((0, 0), (0, widest - part.shape[1]))) for part in parts)
    count = np.sum([features.present[name] for name in features.vectors], axis=0)
    return (total / np.maximum(count, 1)[:, None]).astype(np.float32)


def _weights(known: Iterable[Modality], weights: Mapping[Modality, float]) -> dict[Modality, float]:
    known = list(known)
    for name, weight in weights.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"switch its encoder on; there are {', '.join(known)}"
            raise ConfigError(f"semantic_ids.weights: there are no {name} vectors", hint)
        if not weight >= 0:
            raise ConfigError(f"semantic_ids.weights: {name} is {weight}, expected 0 or more")
    return {name: weights.get(name, 1.0) for name in known}


def _unit_rows(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.where(present[:, None], unit_rows(rows), 0)


def _finite(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors.reshape(len(vectors), -1)).all(axis=1))[0])
        raise DataError(f"item {row}: its vector holds a value that is not finite", "encode the item again")
    return vectors


def _centroids(vectors: np.ndarray, codebook_size: int, seed: int) -> np.ndarray:
    """K-means centroids [codes, width], no more than there are distinct vectors."""
    distinct = len(np.unique(vectors.round(6), axis=0))
    method = KMeans if len(vectors) <= _EXACT_KMEANS_ITEMS else MiniBatchKMeans
    model = method(min(codebook_size, distinct), n_init=1, random_state=seed)
    # Threads add in an order of their own, which would make the codes depend on the machine.
    with threadpool_limits(1):
        return model.fit(vectors.round(6)).cluster_centers_.astype(np.float32)


def _nearest(vectors: np.ndarray, centroids: np.ndarray, chunk: int = 65_536) -> np.ndarray:
    """Index of the nearest centroid of each vector."""
    half_squares = (centroids**2).sum(axis=1) / 2
    parts = [vectors[i : i + chunk] for i in range(0, len(vectors), chunk)]
    found = [(half_squares - part @ centroids.T).argmin(axis=1) for part in parts]
    return np.concatenate([*found, np.empty(0, dtype=np.int64)]).astype(np.int64)


def _next_digits(prefixes: np.ndarray, known: dict[tuple[int, ...], int]) -> np.ndarray:
    """A digit for each row that makes it unique, in row order; `known` (updated) holds the next free ones."""
    digits = np.empty(len(prefixes), dtype=np.int64)
    for row, prefix in enumerate(map(tuple, prefixes.tolist())):
        digits[row] = known.get(prefix, 0)
        known[prefix] = known.get(prefix, 0) + 1
    return digits


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
    if (codes < 0).any() or (codes >= sizes).any() or len(np.unique(codes, axis=0)) != len(codes):
        raise CheckpointError(f"{path}: codes are out of range or shared by two items")


def _level_use(column: np.ndarray, size: int) -> LevelUse:
    counts = np.unique(column, return_counts=True)[1]
    share = counts / counts.sum()
    return LevelUse(size, len(counts), float(np.exp(-(share * np.log(share)).sum())))


def _pairs(item: Item) -> Iterator[tuple[str, str]]:
    """The item's attribute values as (attribute, value), each once."""
    for name, values in item.attributes.items():
        for value in dict.fromkeys(values):
            yield name, value


def _meaning(
    code: int, members: list[Item], everywhere: Mapping[tuple[str, str], int], items: int, most: int
) -> CodeMeaning:
    here = Counter(pair for item in members for pair in _pairs(item))
    lift = {pair: (count / len(members)) / (everywhere[pair] / items) for pair, count in here.items()}
    worth = {pair: here[pair] / len(members) * float(np.log(lift[pair])) for pair in here}
    best = sorted((pair for pair in here if worth[pair] > 0), key=lambda pair: (-worth[pair], pair))[:most]
    traits = tuple(Trait(*pair, here[pair], lift[pair]) for pair in best)
    typical = sorted(members, key=lambda item: -sum(worth[pair] for pair in _pairs(item) if pair in best))
    return CodeMeaning(code, len(members), traits, tuple(item.title for item in typical[:most]))
