"""Decision traces as files: written whole, and read only if they are what a replay needs. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.errors import DataError
from recommender.files import write_text
from recommender.strict.json_documents import json_text, read_json_object

FORMAT = 2
"""2: requests have `query` and `boosts`."""
_HOW = "write one: recommender recommend --trace FILE"


def save(trace: Mapping[str, Any], path: Path) -> None:
    """Write a trace as JSON, whole or not at all."""
    write_text(path, json_text(trace, indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Read a trace. Raises DataError for a file that is none."""
    trace = read_json_object(path, "decision trace", _HOW)
    if not _has_the_shape(trace):
        raise DataError(f"{path}: is no decision trace", _HOW)
    if trace["format"] != FORMAT:
        raise DataError(f"{path}: has format {trace['format']}, this version reads {FORMAT}", "record it again")
    return trace


def bits_of(trace: Mapping[str, Any]) -> str | None:
    """Return the bits of the matrices that a trace was ranked with; None where it tells of none."""
    bits = trace["model"].get("bits")
    return str(bits) if bits in (8, 4) else None


def _has_the_shape(trace: Mapping[str, Any]) -> bool:
    """Return whether a trace has what a replay reads first; what else it lacks, the replay says."""
    model, request = trace.get("model"), trace.get("request")
    return (
        "format" in trace
        and isinstance(model, dict)
        and isinstance(model.get("source"), str)
        and isinstance(request, dict)
        and "history" in request
        and isinstance(trace.get("explains"), str | None)
    )
