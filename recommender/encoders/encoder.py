"""The protocol of frozen encoders, and what they share: identities, loading on first use, the device."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from recommender.assets import identity
from recommender.assets.asset_cache import file_digest
from recommender.errors import AssetError

Model = TypeVar("Model")


class Encoder(Protocol):
    """A frozen model that turns sources (texts, files) into vectors. The same source, the same vector."""

    @property
    def identity(self) -> str:
        """What the vectors depend on besides the source: kind, version of the procedure, weights. Needs no loaded model."""

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError."""

    def prepare(self, source: Any) -> Any:
        """Turn a source into what `encode` takes; may run in several threads. Raises DataError."""

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        """Encode prepared sources to [n, width] float32. A vector does not depend on its neighbours (1e-4)."""


class Lazy(Generic[Model]):
    """A model that is built once, on first use, whichever thread asks first."""

    def __init__(self, build: Callable[[], Model]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._model: Model | None = None

    def __call__(self) -> Model:
        """Return the model."""
        with self._lock:
            if self._model is None:
                self._model = self._build()
            return self._model


def loading(name: str, kind: str, build: Callable[[], Model]) -> Model:
    """Return what `build` returns; whatever a library raises becomes an AssetError of one line."""
    try:
        return build()
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = f"encoders.{kind} takes an embedded name, a published name, a folder, or {{vectors: FILE}}; null: none"
        raise AssetError(f"encoders.{kind}: {name!r} cannot be loaded ({reason})", hint) from None


def embedded_identity(name: str) -> str:
    """Return what identifies an embedded model: its pinned package, not the files that were converted from it.

    Those may differ in some bytes between versions of the libraries that write them, and a checkpoint made on one
    machine must know its encoders on another.
    """
    return identity(name)


def files_hash(files: Iterable[Path]) -> str:
    """Return a hash of files' names and contents. Raises AssetError if there are none or one cannot be read."""
    digest = hashlib.sha256()
    paths = sorted(files)
    if not paths:
        raise AssetError("an encoder's folder holds no model files", "give the folder that holds its weights")
    for path in paths:
        try:
            content = file_digest(path)
        except OSError as error:
            raise AssetError(f"{path}: cannot be read ({error.strerror})") from None
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()[:32]


def best_device() -> str:
    """Return "cuda" where there is one, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
