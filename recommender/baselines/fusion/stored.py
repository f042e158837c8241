"""The fusion that lies in a checkpoint: fitted baselines as item tables, and weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recommender.baselines import Baseline
from recommender.baselines.fusion.gate import FEATURES, Gate, fused_scores
from recommender.baselines.fusion.score_views import Weights
from recommender.baselines.item_tables import from_arrays, to_arrays
from recommender.errors import CheckpointError, shown
from recommender.strict.json_documents import parse_json

logger = logging.getLogger(__name__)

FUSION_FILE = "fusion.safetensors"
"""The name of the file in a checkpoint's folder."""

LANGUAGE_MODEL = "language model"
"""The key of the language model among the weights."""

_GATE_COUNTS = "gate/counts"
"""The array of a gate's counts in the file; no baseline is called like that."""


@dataclass(frozen=True)
class StoredFusion:
    """Fitted baselines and the weights of all scorers; `LANGUAGE_MODEL` is the key of the checkpoint's own weights.

    gate: makes the weights depend on the history; None leaves them as they are.
    """

    baselines: Mapping[str, Baseline]
    weights: Mapping[str, Weights]
    gate: Gate | None = None

    def scores(self, model_scores: np.ndarray, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the language model's scores [users, items] fused with the baselines'; -inf for seen items."""
        parts = {LANGUAGE_MODEL: model_scores}
        parts |= {name: baseline.scores(histories) for name, baseline in self.baselines.items()}
        return fused_scores(parts, histories, self.weights, self.gate)

    def check_fits(self, path: Path, items: int) -> None:
        """Raise CheckpointError unless every baseline scores so many items; `path`: the file they came from."""
        for name, baseline in self.baselines.items():
            scores = baseline.scores([np.array([0])]).shape
            if scores != (1, items):
                message = f"{path}: {shown(name)} scores {scores[-1]} items, the catalogue has {items}"
                raise CheckpointError(message, "fuse the checkpoint again")
        if self.gate is not None and len(self.gate.counts) != items:
            message = f"{path}: the gate counts {len(self.gate.counts)} items, the catalogue has {items}"
            raise CheckpointError(message, "fuse the checkpoint again")

    def save(self, path: Path) -> None:
        """Write tables and weights as safetensors. Raises DataError for a baseline that cannot be stored."""
        arrays = {
            f"{name}/{part}": np.ascontiguousarray(array)
            for name, baseline in self.baselines.items()
            for part, array in to_arrays(baseline).items()
        }
        metadata = {"weights": json.dumps({name: list(pair) for name, pair in self.weights.items()})}
        if self.gate is not None:
            arrays[_GATE_COUNTS] = self.gate.counts
            metadata["gate"] = _gate_text(self.gate)
        save_file(arrays, path, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> StoredFusion:
        """Read what `save` wrote. Raises CheckpointError if the file is damaged, DataError if a table is missing."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata()
                weights = {n: (float(a), float(b)) for n, (a, b) in parse_json(metadata["weights"]).items()}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            _check_numbers(weights, arrays)
            gate = None
            if "gate" in metadata:
                gate = _read_gate(path, parse_json(metadata["gate"]), arrays.pop(_GATE_COUNTS), weights)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError):
            raise CheckpointError(f"{path}: is damaged", "fuse the checkpoint again") from None
        tables: dict[str, dict[str, np.ndarray]] = {name: {} for name in weights if name != LANGUAGE_MODEL}
        for key, array in arrays.items():
            name, _, part = key.partition("/")
            tables.setdefault(name, {})[part] = array
        return cls({name: from_arrays(name, parts) for name, parts in tables.items()}, weights, gate)


def _gate_text(gate: Gate) -> str:
    """Return all of a gate but its counts as JSON; the features by name, so that a change of theirs is noticed."""
    slopes = {name: table.tolist() for name, table in gate.slopes.items()}
    return json.dumps(
        {"features": FEATURES, "mean": gate.mean.tolist(), "spread": gate.spread.tolist(), "slopes": slopes}
    )


def _read_gate(path: Path, raw: Mapping[str, Any], counts: np.ndarray, weights: Mapping[str, Weights]) -> Gate | None:
    """Return the gate, None for one of a version with other features: the weights of a mean history hold for all then.

    Raises KeyError, TypeError or ValueError for what is none of these scorers.
    """
    if not all(isinstance(name, str) for name in raw["features"]):
        raise ValueError("gate")
    if raw["features"] != list(FEATURES):
        message = "%s: its gate reads other features of a history than this version, and is left out; fit one again: %s"
        logger.warning(message, path, "recommender fuse --gate")
        return None
    mean, spread = np.array(raw["mean"], np.float64), np.array(raw["spread"], np.float64)
    slopes = {name: np.array(raw["slopes"][name], np.float64) for name in weights}
    shapes = {mean.shape, spread.shape, *(table.shape[1:] for table in slopes.values() if len(table) == 2)}
    known = shapes == {(len(FEATURES),)} and counts.ndim == 1
    finite = all(np.isfinite(table).all() for table in (mean, *slopes.values()))
    if not known or not finite or not (spread > 0).all() or any(len(table) != 2 for table in slopes.values()):
        raise ValueError("gate")
    return Gate(slopes, mean, spread, counts)


def _check_numbers(weights: Mapping[str, Weights], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise KeyError without a weight of the language model, ValueError for an array that holds no finite numbers."""
    weights[LANGUAGE_MODEL]
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(name)
