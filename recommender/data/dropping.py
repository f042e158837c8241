"""Leaves out what has errors, if the config says so: counted by reason, and listed in a file beside the table."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recommender.data.cells import flat
from recommender.data.tables import Problem, Table, fail_on_errors, say_once
from recommender.errors import DataError
from recommender.files import write_text


def usable_rows(table: Table, problems: Sequence[Problem], on_error: str, kind: str) -> np.ndarray:
    """Return bool [rows]: which rows have no error. Raises DataError for the first error unless `on_error` is "drop".

    Then rows with errors are left out: how many and why is logged, and a file lists each. Raises DataError all the same
    for an error of the table as a whole, and if nothing is left.
    """
    if on_error != "drop":
        fail_on_errors(problems)
        return np.ones(table.rows, dtype=bool)
    errors = [problem for problem in problems if problem.severity == "error"]
    fail_on_errors([problem for problem in errors if problem.row is None])
    usable = np.ones(table.rows, dtype=bool)
    if not errors:
        return usable
    places = {table.line(row): row for row in range(table.rows)}
    errors = _at_first_lines(errors, places)
    wrong = {problem.row for problem in errors}
    usable[[places[line] for line in wrong if line in places]] = False
    _report(table, errors, places, len(wrong))
    if not usable.any():
        raise DataError(
            f"{table.name}: no row of the {kind} is left without an error", "`recommender validate` lists them"
        )
    return usable


def _at_first_lines(errors: Sequence[Problem], places: dict[int, int]) -> list[Problem]:
    """Return errors with the first line of their row: a byte that is no text may stand on a later line of a quoted field."""
    others = {problem.row for problem in errors if problem.kind != "not-utf8" and problem.row is not None}
    starts = sorted(places.keys() | others)
    moved = []
    for problem in errors:
        before = bisect_right(starts, problem.row or 0)
        within = problem.kind == "not-utf8" and not problem.field and problem.unit == "line" and before > 0
        moved.append(replace(problem, row=starts[before - 1]) if within else problem)
    return moved


def _report(table: Table, errors: Sequence[Problem], places: dict[int, int], wrong: int) -> None:
    first: dict[int | None, Problem] = {}
    for problem in errors:
        first.setdefault(problem.row, problem)
    counts = Counter(problem.kind for problem in first.values()).most_common()
    unread = sum(problem.row not in places for problem in first.values())
    listed = _write(table, [problem for problem in errors if problem.row is not None], places)
    reasons = ", ".join(f"{count:,} {kind}" for kind, count in counts)
    say_once(f"{table.name}: left out {wrong:,} of {table.rows + unread:,} rows ({reasons}); listed in {listed}")


def _write(table: Table, errors: Sequence[Problem], places: dict[int, int]) -> Path:
    """Write one JSON object for each error, with the row's values: beside the table, or in the cache."""
    columns = {name: table.values(name) for name in table.columns}
    lines = []
    for problem in errors:
        record: dict[str, object] = {
            table.unit: problem.row,
            "field": problem.field,
            "kind": problem.kind,
            "reason": problem.reason,
        }
        row = places.get(problem.row or 0)
        if row is not None:
            record["values"] = {name: _shown(values[row]) for name, values in columns.items()}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    name, text = f"{table.name}.dropped.jsonl", "".join(lines)
    try:
        return _kept(table.folder / name if table.folder else None, text)
    except OSError:
        return _kept(None, text, name)


def _kept(path: Path | None, text: str, name: str = "table.dropped.jsonl") -> Path:
    from recommender import assets

    path = path or assets.cache_dir() / "dropped" / name
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_text(path, text)
    return path


def _shown(value: object) -> str | list[str] | None:
    try:
        texts = list(flat(value))
    except DataError:  # bytes that are no text
        return repr(value)[:200]
    return texts[0] if len(texts) == 1 else texts or None
