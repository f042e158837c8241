"""Raw encoder vectors -> their principal components, one width for every modality; kept with the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from recommender.errors import ConfigError

#: Rows above which they are looked at in parts, and sums are added up part by part.
WHOLE_UP_TO = 200_000
_PART = 16_384
# Directions with less than this share of the largest variance are rounding noise.
_RELATIVE_NOISE = 1e-9
#: Longest vector of an item, in root-mean-square lengths of a modality. Those of MovieLens and Amazon Beauty are shorter.
LONGEST = 3.0


def bounded(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [n, width] float32 that are cut to `LONGEST` times sqrt(width); directions stay.

    The vectors of a modality have a root-mean-square norm of sqrt(width). Where most items are nearly alike, for they
    hardly occur or share one picture, the few others are far longer: 20 times for the first of 50,000 items. What a step
    of training changes in a projector's output grows with that length, so that their scores would leap.
    """
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors * np.minimum(1, LONGEST * vectors.shape[-1] ** 0.5 / np.maximum(norms, 1e-9))).astype(np.float32)


@dataclass(frozen=True)
class Reduction:
    """A fitted principal component analysis.

    The components keep their relative variance and only the whole is scaled, to a mean squared norm of `width`
    over the rows it was fitted on. Scaling every component to unit variance (full whitening) would blow up the
    last directions, which are mostly noise.
    """

    mean: np.ndarray
    """[raw width] float32."""
    components: np.ndarray
    """[width, raw width] float32 that float16 holds exactly; the surplus rows of a small catalogue are zero."""
    scale: float
    encoder: str = ""
    """Identity of the encoder whose vectors these are."""
    parts: int = 1
    """A medium that was cut into so many parts has their vectors one behind the other; each is reduced by itself."""

    @classmethod
    def fit(cls, rows: np.ndarray, width: int, encoder: str = "", parts: int = 1) -> Reduction:
        """Fit on `rows` [n, parts * raw width], n >= 1: items that have the modality. The same rows, the same result."""
        if parts > 1:
            return replace(cls.fit(_parted(rows, parts), width, encoder), parts=parts)
        mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        if len(rows) > WHOLE_UP_TO:
            return cls._fit_in_parts(rows, mean, width, encoder)
        centred = rows.astype(np.float64) - mean
        # Rounded before the scale is measured: what is saved is what was fitted.
        components = _principal(centred.T @ centred / len(centred), width).astype(np.float16).astype(np.float32)
        energy = float(((centred @ components.T) ** 2).sum(axis=1).mean())
        return cls(mean, components, _scale(width, energy), encoder)

    @classmethod
    def _fit_in_parts(cls, rows: np.ndarray, mean: np.ndarray, width: int, encoder: str) -> Reduction:
        """Fit on many rows, which may lie in a file; no more of them is in memory than a part."""
        products = np.zeros((rows.shape[1], rows.shape[1]))
        for start in range(0, len(rows), _PART):
            centred = rows[start : start + _PART].astype(np.float64) - mean
            products += centred.T @ centred
        variances = products / len(rows)
        components = _principal(variances, width).astype(np.float16).astype(np.float32)
        return cls(mean, components, _scale(width, float(((components @ variances) * components).sum())), encoder)

    @classmethod
    def fit_in_blocks(cls, blocks: Callable[[], Iterable[np.ndarray]], width: int, encoder: str = "") -> Reduction:
        """Fit on rows that come in blocks [n, raw width], each time `blocks` is called: twice, so that one block at a time
        lies in memory. The same as `fit` but for rounding."""
        count, total = 0, np.zeros(0)
        for rows in blocks():
            total = rows.sum(axis=0, dtype=np.float64) + (total if count else 0)
            count += len(rows)
        mean = (total / count).astype(np.float32)
        covariance = np.zeros((len(mean), len(mean)))
        for rows in blocks():
            centred = rows.astype(np.float64) - mean
            covariance += centred.T @ centred / count
        components = _principal(covariance, width).astype(np.float16).astype(np.float32)
        energy = float(np.einsum("ij,jk,ik->", components, covariance, components, optimize=True))
        return cls(mean, components, _scale(width, energy), encoder)

    @property
    def width(self) -> int:
        """Length of a reduced vector: the number of components, times that of parts."""
        return len(self.components) * self.parts

    @property
    def raw_width(self) -> int:
        """Length of an encoder's own vector: of one medium, with those of all its parts."""
        return len(self.mean) * self.parts

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Reduce raw vectors [n, raw width] to [n, width] float32. Raises ConfigError on another raw width."""
        if rows.ndim != 2 or rows.shape[1] != self.raw_width:
            raise ConfigError(
                f"encoder vectors have shape {rows.shape}, expected {self.raw_width} columns",
                "use the encoder that the checkpoint was made with",
            )
        parted = _parted(rows, self.parts).astype(np.float32)
        reduced = ((parted - self.mean) @ self.components.T) * np.float32(self.scale)
        return reduced.reshape(len(rows), self.width)


def _parted(rows: np.ndarray, parts: int) -> np.ndarray:
    """Return rows [n, parts * width] as the rows of their parts [n * parts, width]."""
    return rows.reshape(len(rows) * parts, rows.shape[1] // parts)


def _scale(width: int, energy: float) -> float:
    return float(np.float32(np.sqrt(width / energy))) if energy > 0 else 1.0


def _principal(covariances: np.ndarray, width: int) -> np.ndarray:
    """Return the first `width` principal directions [width, raw width], zero where there are no more."""
    raw = len(covariances)
    variances, directions = np.linalg.eigh(covariances)
    order = np.argsort(-variances, kind="stable")[:width]
    order = order[variances[order] > _RELATIVE_NOISE * max(variances[-1], 0)]
    components = directions.T[order]
    # The sign of a direction is arbitrary: make its largest entry positive.
    components *= np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])[:, None]
    return np.concatenate([components, np.zeros((width - len(components), raw))])
