"""Ranks histories on many machines: workers load the checkpoint once; what they ranked is kept until the report stands."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recommender.baselines.topk import PADDING
from recommender.cluster import Cluster, Failed
from recommender.config import DataConfig
from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.files import write_bytes
from recommender.model.checkpoint import package_versions, resolve
from recommender.model.manifest import MANIFEST
from recommender.progress import Progress
from recommender.studies.rankings import BATCH, rank_histories

PART = 16 * BATCH
"""Histories of a part: what a worker ranks at a time, and what is lost with it at most."""
_KEPT = ".rankings"

Task = tuple[list[np.ndarray], int]


class RankingWorker:
    """A checkpoint that is loaded once; ranks parts."""

    def __init__(self, folder: str, data: DataConfig) -> None:
        self._engine = Recommender.from_pretrained(folder, Catalogue.load(data.items, data, media=False))

    def __call__(self, task: Task) -> np.ndarray:
        """Return the best items of each history, int64 [histories, k]."""
        histories, k = task
        return rank_histories(self._engine, histories, k)


class RankingOnCluster:
    """A RankFunction that ranks with a checkpoint on the workers of a cluster.

    Parts that are ranked are kept in the hidden folder `.rankings` of `output`, so that a run that was killed goes on with
    what is missing. Their names hash all that they hang on.
    """

    at_once = 1 << 62  # all histories that there are, so that workers load once

    def __init__(
        self, cluster: Cluster, folder: str, data: DataConfig, output: Path, progress: Progress | None = None
    ) -> None:
        self._cluster, self._folder, self._data = cluster, folder, data
        self._kept, self._progress = (output / _KEPT).absolute(), progress or (lambda *_: None)

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        """Return the best k items of each history, int64 [histories, k], without those of the history."""
        starts = range(0, len(histories), PART)
        names = [self._name(histories[start : start + PART], k) for start in starts]
        tasks = {
            name: (list(histories[start : start + PART]), k)
            for name, start in zip(names, starts, strict=True)
            if not self._path(name).is_file()
        }
        title, done = f"ranking with {self._folder} on the cluster, parts", len(names) - len(tasks)
        self._progress(title, done, len(names))
        for name, result in self._cluster.map(RankingWorker, (self._folder, self._data), tasks, self._kept / "tries"):
            if isinstance(result, Failed):
                raise DataError(f"{self._folder}: {result.message}", result.hint)
            self._keep(name, result)
            done += 1
            self._progress(title, done, len(names))
        if not names:
            return np.full((0, k), PADDING, np.int64)
        return np.concatenate([np.load(self._path(name), allow_pickle=False) for name in names])

    def _name(self, histories: Sequence[np.ndarray], k: int) -> str:
        """Return a hash of what the lists of a part hang on: model, items, packages, histories, length."""
        digest = hashlib.sha256((resolve(self._folder) / MANIFEST).read_bytes())
        digest.update(repr((package_versions(), k, [len(history) for history in histories])).encode())
        for history in histories:
            digest.update(np.ascontiguousarray(history, np.int64).tobytes())
        return digest.hexdigest()

    def _path(self, name: str) -> Path:
        return self._kept / f"{name}.npy"

    def _keep(self, name: str, lists: np.ndarray) -> None:
        content = io.BytesIO()
        np.save(content, lists, allow_pickle=False)
        write_bytes(self._path(name), content.getvalue())


def forget_rankings(output: Path) -> None:
    """Remove the rankings that were kept for a run that is finished."""
    shutil.rmtree(output / _KEPT, ignore_errors=True)
