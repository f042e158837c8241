"""Calls of librosa, of which one process at a time makes its first.

librosa compiles its functions with numba, which keeps them in files beside them. Two processes that fill or read these files
at once, as after an installation, may load each other's half: that ended them with a segmentation fault (numba 0.68).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from recommender.errors import import_extra
from recommender.files import locked

Result = TypeVar("Result")
_called: set[Callable[[Any, np.ndarray], Any]] = set()


def load_librosa(feature: str, alternative: str | None = None) -> Any:
    """Return librosa, whose parts are imported when they are first used. Raises RecommenderError if it is not installed."""
    return import_extra("librosa", feature, "sound", alternative)


def call_librosa(work: Callable[[Any, np.ndarray], Result], sound: np.ndarray, feature: str) -> Result:
    """Return `work(librosa, sound)`; the first call of this process waits for those of others."""
    librosa = load_librosa(feature)
    if work in _called:
        return work(librosa, sound)
    user = os.getuid() if hasattr(os, "getuid") else 0
    with locked(Path(tempfile.gettempdir()) / f"recommender-librosa-{user}", "compiling librosa", wait=True):
        result = work(librosa, sound)
    _called.add(work)
    return result
