"""What `recommender validate` runs: all problems of two tables and their media, each with file, row, field and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import ColumnsConfig
from recommender.data.catalogue import Catalogue, ReadItems, read_items
from recommender.data.histories import Events, read_events
from recommender.data.media import audio_problems, content_hash, image_problems, read_audio, read_image
from recommender.data.tables import Problem, Table, read_table
from recommender.errors import DataError
from recommender.progress import Progress

_SHOWN = 5
_Inspect = Callable[[Path], tuple[str, ...]]


@dataclass(frozen=True)
class ValidationReport:
    """All problems, and how many items, users and interactions could be used."""

    problems: tuple[Problem, ...]
    items: int = 0
    users: int = 0
    interactions: int = 0
    images: int = 0
    sounds: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings pass."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind, errors first, most frequent first."""
        errors = {problem.kind for problem in self.problems if problem.severity == "error"}
        counts = Counter(problem.kind for problem in self.problems).most_common()
        return dict(sorted(counts, key=lambda pair: pair[0] not in errors))

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain JSON values."""
        sizes = ("items", "users", "interactions", "images", "sounds")
        return {
            "ok": self.ok,
            **{name: getattr(self, name) for name in sizes},
            "counts": self.counts,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def render(self, shown: int = _SHOWN) -> str:
        """Return the report as text, with at most `shown` problems of each kind."""
        lines = [
            f"{self.items} items ({self.images} images, {self.sounds} sounds),"
            f" {self.interactions} interactions of {self.users} users"
        ]
        for kind, count in self.counts.items():
            of_kind = [problem for problem in self.problems if problem.kind == kind]
            severity = "error" if any(problem.severity == "error" for problem in of_kind) else "warning"
            lines += ["", f"{severity} {kind}: {count}", *(f"  {problem}" for problem in of_kind[:shown])]
            lines += [f"  ... and {count - shown} more"] if count > shown else []
            lines += [f"  hint: {hint}" for hint in _hints(of_kind[:shown])]
        lines += ["", "no errors" if self.ok else "errors: the tables cannot be used as they are"]
        return "\n".join(lines)


def validate(
    items: Any,
    interactions: Any | None = None,
    columns: ColumnsConfig | None = None,
    media: bool = True,
    progress: Progress | None = None,
) -> ValidationReport:
    """Check all rows and, if `media`, all media files; problems are reported, never raised.

    `interactions` may be None. Their item ids are checked against the rows of `items` that have a usable id.
    """
    columns = columns or ColumnsConfig()
    problems: list[Problem] = []
    table = _read(items, "items", problems)
    read = read_items(table, columns) if table else ReadItems((), (), ())
    problems += read.problems
    if table and media:
        problems += _check_media(table, read, columns, progress)
    events = None
    if interactions is not None:
        catalogue = Catalogue(read.items) if read.items else None
        events = _check_interactions(interactions, catalogue, columns, problems)
    usable = np.zeros(0, bool) if events is None else (events.users >= 0) & (events.items >= 0)
    return ValidationReport(
        problems=tuple(problems),
        items=len(read.items),
        users=0 if events is None else len(np.unique(events.users[usable])),
        interactions=int(usable.sum()),
        images=sum(item.image is not None for item in read.items),
        sounds=sum(item.audio is not None for item in read.items),
    )


def _read(source: Any, kind: Any, problems: list[Problem]) -> Table | None:
    try:
        return read_table(source, kind)
    except DataError as error:
        problems.append(Problem(kind, None, "", "unreadable", error.message, hint=error.hint))
        return None


def _check_interactions(
    source: Any, catalogue: Catalogue | None, columns: ColumnsConfig, problems: list[Problem]
) -> Events | None:
    table = _read(source, "interactions", problems)
    if table is None:
        return None
    events, event_problems = read_events(table, catalogue, columns)
    problems += event_problems
    if events is not None:
        problems += _duplicates(table, events, columns)
    return events


def _duplicates(table: Table, events: Events, columns: ColumnsConfig) -> list[Problem]:
    """Find rows that repeat user, item and time of an earlier row. The same item at another time is no mistake."""
    usable = np.flatnonzero((events.users >= 0) & (events.items >= 0) & np.isfinite(events.order))
    keys = np.stack([events.users[usable], events.items[usable], events.order[usable]])
    sorting = np.lexsort(keys)  # stable, so the first of equal rows is the earliest
    same = (np.diff(keys[:, sorting], axis=1) == 0).all(axis=0)
    firsts = np.maximum.accumulate(np.where(np.concatenate([[True], ~same]), np.arange(len(sorting)), 0))
    rows, originals = usable[sorting], usable[sorting[firsts]]
    problems = []
    for row, first in sorted((int(r), int(f)) for r, f in zip(rows, originals, strict=True) if r != f):
        reason = f"the same user, item and time as {table.unit} {table.line(first)}"
        problem = table.problem(row, columns.item_id, "duplicate-interaction", reason, severity="warning")
        problems.append(problem)
    return problems


def _check_media(table: Table, read: ReadItems, columns: ColumnsConfig, progress: Progress | None) -> list[Problem]:
    images = {row: item.image for row, item in zip(read.rows, read.items, strict=True) if item.image}
    sounds = {row: item.audio for row, item in zip(read.rows, read.items, strict=True) if item.audio}
    return [
        *_decode(table, columns.image, "image", images, lambda path: image_problems(read_image(path)), progress),
        *_same_content(table, columns.image, images),
        *_decode(table, columns.audio, "audio", sounds, lambda path: audio_problems(read_audio(path, None)), progress),
    ]


def _decode(
    table: Table, column: str, name: str, paths: dict[int, Path], inspect: _Inspect, progress: Progress | None
) -> list[Problem]:
    """Decode each existing file; what cannot be decoded is an error, a blank or silent one a warning."""
    problems = []
    for done, (row, path) in enumerate(paths.items(), start=1):
        if path.is_file():
            try:
                for state in inspect(path):
                    kind, reason = f"{state}-{name}", f"{path.name} is {state}"
                    problems.append(table.problem(row, column, kind, reason, severity="warning"))
            except DataError as error:
                problems.append(table.problem(row, column, "broken-media", error.message, hint=error.hint))
        if progress:
            progress(f"checking {name} files", done, len(paths))
    return problems


def _same_content(table: Table, column: str, paths: dict[int, Path]) -> list[Problem]:
    """Find items that share one picture: often a placeholder."""
    first: dict[str, int] = {}
    problems = []
    for row, path in paths.items():
        if not path.is_file() or path.stat().st_size == 0:
            continue
        try:
            original = first.setdefault(content_hash(path), row)
        except DataError:  # reported as broken already
            continue
        if original != row:
            reason = f"{path.name} is the same picture as in {table.unit} {table.line(original)}"
            problems.append(table.problem(row, column, "duplicate-image", reason, severity="warning"))
    return problems


def _hints(problems: list[Problem]) -> list[str]:
    return list(dict.fromkeys(problem.hint for problem in problems if problem.hint))
