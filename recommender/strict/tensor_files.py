"""Safetensors files as they may be trusted: names, types and shapes are read from the header before memory is taken."""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from recommender.errors import CheckpointError, shown

FLOATS = ("F32", "F16", "BF16")
"""The types of weights, as headers name them."""
_NAME_CHARS = 120
#: what numpy reads the types of headers as; bfloat16 as its bits
_NUMPY = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BF16": "<u2",
    "I8": "i1",
    "U8": "u1",
    "I32": "<i4",
    "I64": "<i8",
    "BOOL": "?",
}
AGAIN = "copy the checkpoint again, whole"


@dataclass(frozen=True)
class TensorFacts:
    """What a header says of one tensor; `dtype` as it is named there: F16, I64."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path, what: str = "safetensors file") -> dict[str, TensorFacts]:
    """Return name -> type and shape of the tensors of a file, which lie in it whole.

    Raises CheckpointError; `what`: what the file should be.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path}: is no plain file", AGAIN)
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {name: TensorFacts(one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
    except (OSError, SafetensorError, ValueError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise CheckpointError(f"{path}: no readable {what} ({reason})", AGAIN) from None


def map_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, TensorFacts], dict[str, str]]:
    """Return the tensors of a file memory-mapped and not writable, what its header says of each, and its metadata.

    Raises OSError, ValueError, KeyError or
    struct.error for what cannot be mapped.
    """
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > path.stat().st_size:
            raise ValueError("its header is cut off")
        header = json.loads(file.read(size))
    metadata = header.pop("__metadata__", {})
    facts = {name: TensorFacts(one["dtype"], tuple(one["shape"])) for name, one in header.items()}
    maps = {name: _mapped(path, 8 + size, one["data_offsets"], facts[name]) for name, one in header.items()}
    return maps, facts, metadata


def _mapped(path: Path, start: int, offsets: list[int], facts: TensorFacts) -> np.ndarray:
    dtype, (begin, end) = np.dtype(_NUMPY[facts.dtype]), offsets
    return np.zeros(facts.shape, dtype) if begin == end else np.memmap(path, dtype, "r", start + begin, facts.shape)


def check_types(path: Path, header: Mapping[str, TensorFacts], allowed: Collection[str] = FLOATS) -> None:
    """Raise CheckpointError naming the first tensor whose type is not one of `allowed`."""
    for name, facts in header.items():
        if facts.dtype not in allowed:
            what = f"the tensor {shown(name, _NAME_CHARS)} is of type {facts.dtype}"
            raise CheckpointError(f"{path}: {what}, expected {' or '.join(allowed)}", AGAIN)


def check_shapes(path: Path, header: Mapping[str, TensorFacts], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise CheckpointError naming the first tensor of `expected` that has not the shape that base and config ask for."""
    for name, shape in expected.items():
        found = header[name].shape if name in header else None
        if found != shape:
            what = "is missing" if found is None else f"has the shape {[*found]}, not {[*shape]}"
            raise CheckpointError(
                f"{path}: does not fit the base model and config ({shown(name, _NAME_CHARS)} {what})",
                "use the base model named in the checkpoint's config.yaml, or copy the checkpoint again, whole",
            )
