"""Raw encoder vectors -> their principal components, one width for every modality; kept with the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from recommender.errors import ConfigError

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

    @classmethod
    def fit(cls, rows: np.ndarray, width: int, encoder: str = "") -> Reduction:
        """Fit on `rows` [n, raw width], n >= 1: items that have the modality. The same rows, the same result."""
        mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = rows.astype(np.float64) - mean
        # Rounded before the scale is measured: what is saved is what was fitted.
        components = _principal(centred, width).astype(np.float16).astype(np.float32)
        energy = float(((centred @ components.T) ** 2).sum(axis=1).mean())
        scale = float(np.float32(np.sqrt(width / energy))) if energy > 0 else 1.0
        return cls(mean, components, scale, encoder)

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
        components = _directions(covariance, width).astype(np.float16).astype(np.float32)
        energy = float(np.einsum("ij,jk,ik->", components, covariance, components, optimize=True))
        scale = float(np.float32(np.sqrt(width / energy))) if energy > 0 else 1.0
        return cls(mean, components, scale, encoder)

    @property
    def width(self) -> int:
        """Number of components."""
        return len(self.components)

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Reduce raw vectors [n, raw width] to [n, width] float32. Raises ConfigError on another raw width."""
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise ConfigError(
                f"encoder vectors have shape {rows.shape}, expected {len(self.mean)} columns",
                "use the encoder that the checkpoint was made with",
            )
        return ((rows.astype(np.float32) - self.mean) @ self.components.T) * np.float32(self.scale)


def _principal(centred: np.ndarray, width: int) -> np.ndarray:
    """Return the first `width` principal directions [width, raw width], zero where there are no more."""
    return _directions(centred.T @ centred / len(centred), width)


def _directions(covariance: np.ndarray, width: int) -> np.ndarray:
    """Return the first `width` eigenvectors [width, raw width] of a covariance, zero where there are no more."""
    raw = len(covariance)
    variances, directions = np.linalg.eigh(covariance)
    order = np.argsort(-variances, kind="stable")[:width]
    order = order[variances[order] > _RELATIVE_NOISE * max(variances[-1], 0)]
    components = directions.T[order]
    # The sign of a direction is arbitrary: make its largest entry positive.
    components *= np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])[:, None]
    return np.concatenate([components, np.zeros((width - len(components), raw))])
