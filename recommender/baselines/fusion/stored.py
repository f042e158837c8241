"""The fusion that lies in a checkpoint: fitted baselines as item tables, and weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recommender.baselines import Baseline
from recommender.baselines.fusion.score_views import Weights, mask_seen, weighted_scores
from recommender.baselines.item_tables import from_arrays, to_arrays
from recommender.errors import CheckpointError, shown
from recommender.strict.json_documents import parse_json

FUSION_FILE = "fusion.safetensors"
"""The name of the file in a checkpoint's folder."""

LANGUAGE_MODEL = "language model"
"""The key of the language model among the weights."""


@dataclass(frozen=True)
class StoredFusion:
    """Fitted baselines and the weights of all scorers; `LANGUAGE_MODEL` is the key of the checkpoint's own weights."""

    baselines: Mapping[str, Baseline]
    weights: Mapping[str, Weights]

    def scores(self, model_scores: np.ndarray, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the language model's scores [users, items] fused with the baselines'; -inf for seen items."""
        total = weighted_scores(model_scores, histories, self.weights[LANGUAGE_MODEL])
        for name, baseline in self.baselines.items():
            total = total + weighted_scores(baseline.scores(histories), histories, self.weights[name])
        return mask_seen(total, histories)

    def check_fits(self, path: Path, items: int) -> None:
        """Raise CheckpointError unless every baseline scores so many items; `path`: the file they came from."""
        for name, baseline in self.baselines.items():
            scores = baseline.scores([np.array([0])]).shape
            if scores != (1, items):
                message = f"{path}: {shown(name)} scores {scores[-1]} items, the catalogue has {items}"
                raise CheckpointError(message, "fuse the checkpoint again")

    def save(self, path: Path) -> None:
        """Write tables and weights as safetensors. Raises DataError for a baseline that cannot be stored."""
        arrays = {
            f"{name}/{part}": np.ascontiguousarray(array)
            for name, baseline in self.baselines.items()
            for part, array in to_arrays(baseline).items()
        }
        weights = {name: list(pair) for name, pair in self.weights.items()}
        save_file(arrays, path, metadata={"weights": json.dumps(weights)})

    @classmethod
    def load(cls, path: Path) -> StoredFusion:
        """Read what `save` wrote. Raises CheckpointError if the file is damaged, DataError if a table is missing."""
        try:
            with safe_open(path, framework="numpy") as file:
                weights = {n: (float(a), float(b)) for n, (a, b) in parse_json(file.metadata()["weights"]).items()}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            _check_numbers(weights, arrays)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError):
            raise CheckpointError(f"{path}: is damaged", "fuse the checkpoint again") from None
        tables: dict[str, dict[str, np.ndarray]] = {name: {} for name in weights if name != LANGUAGE_MODEL}
        for key, array in arrays.items():
            name, _, part = key.partition("/")
            tables.setdefault(name, {})[part] = array
        return cls({name: from_arrays(name, parts) for name, parts in tables.items()}, weights)


def _check_numbers(weights: Mapping[str, Weights], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise KeyError without a weight of the language model, ValueError for an array that holds no finite numbers."""
    weights[LANGUAGE_MODEL]
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(name)
