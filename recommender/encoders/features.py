"""The encoders' vectors of all items: one matrix a modality, and which items have it.

Of a large catalogue they stay in their file, as it holds them, and are read where they are asked for.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recommender.config import MODALITIES, Modality
from recommender.encoders.reduction import Reduction
from recommender.errors import CheckpointError
from recommender.files import replacing
from recommender.strict.tensor_files import TensorFacts, check_types, map_tensors, read_header

_FORMAT = "recommender.features.2"
#: bytes of a modality's vectors in a file above which they are memory-mapped
LARGE = 64_000_000
_PART = 65_536
#: how the names of tensors begin that say which items have something
_MARKS = ("present.", "imputed.")

Views = Mapping[Modality, np.ndarray]
"""Vectors [1 + views, items, width] float32 of the modalities with augmented views, the plain vectors first."""


@dataclass(frozen=True)
class Features:
    """Vectors [items, width] of each modality, and present [items] bool; the rows of absent ones are zero.

    Vectors are float32; those of a large catalogue that was loaded are memory-mapped float16. `table` and `rows` give
    float32 of both.
    """

    vectors: dict[Modality, np.ndarray]
    present: dict[Modality, np.ndarray]
    reductions: Mapping[Modality, Reduction] = field(default_factory=dict)
    """How the vectors came from the encoders' raw ones; none where they did not (collaborative vectors)."""
    imputed: Mapping[Modality, np.ndarray] = field(default_factory=dict)
    """Which items that lack a modality have a vector made of other items', bool [items]; no key where none has."""
    _tables: dict[Modality, np.ndarray] = field(init=False, repr=False, compare=False, default_factory=dict)

    def table(self, modality: Modality) -> np.ndarray:
        """Return the vectors [items, width] of a modality as float32, in memory, where they stay once asked for."""
        if modality not in self._tables:
            self._tables[modality] = self.vectors[modality].astype(np.float32, copy=False)
        return self._tables[modality]

    def rows(self, modality: Modality, indices: np.ndarray) -> np.ndarray:
        """Return the vectors [n, width] float32 of some items [n]."""
        return self.vectors[modality][indices].astype(np.float32, copy=False)

    def usable(self, modality: Modality) -> np.ndarray:
        """Return which items are read with a vector of a modality, their own or an imputed one, bool [items]."""
        return self.present[modality] | self.imputed[modality] if modality in self.imputed else self.present[modality]

    def with_imputed(self, modality: Modality, rows: np.ndarray, vectors: np.ndarray) -> Features:
        """Return a copy in which the items at `rows` [n], which lack a modality, have imputed `vectors` [n, width]."""
        if not len(rows):
            return self
        table = self.vectors[modality].astype(np.float32)
        imputed = self.imputed.get(modality, np.zeros(len(table), bool)).copy()
        table[rows], imputed[rows] = vectors, True
        return replace(self, vectors=self.vectors | {modality: table}, imputed={**self.imputed, modality: imputed})

    def parts(self, modality: Modality) -> int:
        """Return of how many parts of a medium a vector consists, one behind the other."""
        return self.reductions[modality].parts if modality in self.reductions else 1

    def content(self) -> Features:
        """Return the features without the collaborative vectors, which come from histories."""
        modalities: list[Modality] = [m for m in self.vectors if m != "collaborative"]
        vectors, present = {m: self.vectors[m] for m in modalities}, {m: self.present[m] for m in modalities}
        reductions = {m: self.reductions[m] for m in modalities if m in self.reductions}
        return Features(vectors, present, reductions, {m: i for m, i in self.imputed.items() if m in modalities})

    def save(self, path: Path) -> None:
        """Write one safetensors file (vectors and components as float16), atomically."""
        tensors = {f"vectors.{m}": v.astype(np.float16, copy=False) for m, v in self.vectors.items()}
        tensors |= {f"present.{m}": p.astype(np.uint8) for m, p in self.present.items()}
        tensors |= {f"imputed.{m}": i.astype(np.uint8) for m, i in self.imputed.items()}
        header = {"format": _FORMAT}
        for m, reduction in self.reductions.items():
            tensors[f"mean.{m}"] = reduction.mean
            tensors[f"components.{m}"] = reduction.components.astype(np.float16)
            header |= {f"scale.{m}": repr(reduction.scale), f"encoder.{m}": reduction.encoder}
            if reduction.parts > 1:  # as before where there is one
                header[f"parts.{m}"] = str(reduction.parts)
        # one entry: safetensors writes several in any order, and the same features must give the same bytes
        metadata = {"recommender": json.dumps(header, sort_keys=True)}
        with replacing(path) as temporary:
            save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary, metadata)

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read what `save` wrote. Raises CheckpointError."""
        header = read_header(path)
        check_types(path, {n: facts for n, facts in header.items() if not n.startswith(_MARKS)}, ("F16", "F32"))
        check_types(path, {n: facts for n, facts in header.items() if n.startswith(_MARKS)}, ("U8", "BOOL"))
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = json.loads((file.metadata() or {}).get("recommender", "{}"))
                large = {name for name, facts in header.items() if _is_large(name, facts)}
                tensors = {name: file.get_tensor(name) for name in file.keys() if name not in large}  # noqa: SIM118
            if large:
                mapped = map_tensors(path)[0]
                tensors |= {name: mapped[name] for name in large}
        except (OSError, SafetensorError, ValueError, KeyError, struct.error) as error:
            raise CheckpointError(f"{path}: cannot be read as features ({error})", "train or encode again") from None
        try:
            return _assembled(tensors, metadata)
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{path}: not a file of features ({error})", "train or encode again") from None

    def take(self, indices: np.ndarray) -> Features:
        """Return the features of some items only, in the order of `indices`."""
        vectors = {m: self.rows(m, indices) for m in self.vectors}
        present, imputed = ({m: t[indices] for m, t in marks.items()} for marks in (self.present, self.imputed))
        return replace(self, vectors=vectors, present=present, imputed=imputed)

    def with_rows(self, modality: Modality, rows: np.ndarray, vectors: np.ndarray) -> Features:
        """Return a copy in which the items at `rows` [n] have these `vectors` [n, width] of one modality."""
        table, present = self.vectors[modality].astype(np.float32), self.present[modality].copy()
        table[rows], present[rows] = vectors, True
        changed = replace(self, vectors=self.vectors | {modality: table}, present=self.present | {modality: present})
        return replace(changed, imputed={m: i & ~present if m == modality else i for m, i in self.imputed.items()})

    def with_modality(self, modality: Modality, vectors: np.ndarray) -> Features:
        """Return a copy with one modality more, present where its row of `vectors` [items, width] is not zero."""
        vectors = vectors.astype(np.float32)
        present: dict[Modality, np.ndarray] = self.present | {modality: np.any(vectors, axis=1)}
        return replace(self, vectors=self.vectors | {modality: vectors}, present=present)

    def append(self, later: Features) -> Features:
        """Return a copy with further items at its end; what `later` does not hold is absent there."""
        count = len(next(iter(later.vectors.values()))) if later.vectors else 0
        vectors, present = {}, {}
        for m, table in self.vectors.items():
            absent = np.zeros((count, table.shape[1]), np.float32)
            vectors[m] = np.concatenate([table, later.vectors.get(m, absent)])
            present[m] = np.concatenate([self.present[m], later.present.get(m, np.zeros(count, bool))])
        imputed = {m: np.concatenate([i, later.imputed.get(m, np.zeros(count, bool))]) for m, i in self.imputed.items()}
        return replace(self, vectors=vectors, present=present, imputed=imputed)

    def rounded(self) -> Features:
        """Return what a save and a load would make of these: training sees the same numbers as serving."""
        return replace(self, vectors={m: v.astype(np.float16).astype(np.float32) for m, v in self.vectors.items()})

    def swapped(self, modality: Modality, first: int, second: int) -> Features:
        """Return a copy in which two items have exchanged their vectors of one modality."""
        vectors, present, imputed = dict(self.vectors), dict(self.present), dict(self.imputed)
        for table in (vectors, present, imputed):
            if modality in table:
                copied = table[modality].copy()
                copied[[first, second]] = copied[[second, first]]
                table[modality] = copied
        return replace(self, vectors=vectors, present=present, imputed=imputed)

    def without(self, modality: Modality) -> Features:
        """Return a copy in which no item has this modality."""
        vectors = self.vectors | {modality: np.zeros_like(self.vectors[modality])}
        present = self.present | {modality: np.zeros_like(self.present[modality])}
        imputed = {m: i for m, i in self.imputed.items() if m != modality}
        return replace(self, vectors=vectors, present=present, imputed=imputed)


def _is_large(name: str, facts: TensorFacts) -> bool:
    return name.startswith("vectors.") and facts.dtype == "F16" and 2 * math.prod(facts.shape) > LARGE


def _assembled(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Features:
    """Raises KeyError or ValueError on what is missing or does not fit together."""
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"format {metadata.get('format')!r}, expected {_FORMAT!r}")
    modalities = [m for m in MODALITIES if f"vectors.{m}" in tensors]
    read = {m: tensors[f"vectors.{m}"] for m in modalities}
    vectors = {m: table if isinstance(table, np.memmap) else table.astype(np.float32) for m, table in read.items()}
    present = {m: tensors[f"present.{m}"].astype(bool) for m in modalities}
    imputed = {m: tensors[f"imputed.{m}"].astype(bool) for m in modalities if f"imputed.{m}" in tensors}
    counts = {len(table) for table in (*vectors.values(), *present.values(), *imputed.values())}
    if len(counts) > 1:
        raise ValueError(f"tables of {' and '.join(map(str, sorted(counts)))} items")
    reductions = {
        m: Reduction(
            tensors[f"mean.{m}"],
            tensors[f"components.{m}"].astype(np.float32),
            float(metadata[f"scale.{m}"]),
            metadata[f"encoder.{m}"],
            int(metadata.get(f"parts.{m}", "1")),
        )
        for m in modalities
        if f"components.{m}" in tensors
    }
    for m, table in vectors.items():
        if table.ndim != 2 or not all(np.isfinite(table[n : n + _PART]).all() for n in range(0, len(table), _PART)):
            raise ValueError(f"vectors.{m} is no table of finite numbers")
    if wrong := next((m for m, reduction in reductions.items() if reduction.width != vectors[m].shape[1]), None):
        raise ValueError(f"vectors.{wrong} has not the width of its components")
    return Features(vectors, present, reductions, imputed)
