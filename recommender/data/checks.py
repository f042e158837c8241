"""What `recommender validate` runs: all problems of two tables and their media, each with file, row, field and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import ColumnsConfig, DataConfig, EncodersConfig
from recommender.data.catalogue import Catalogue
from recommender.data.facts_join import load_facts
from recommender.data.histories import Events, Histories, read_events
from recommender.data.history_shards import holds_histories
from recommender.data.item_rows import Item, ReadItems, read_items
from recommender.data.media import audio_problems, content_hash, image_problems, read_audio, read_image
from recommender.data.tables import Problem, Table, read_table
from recommender.data.video import video_problems
from recommender.errors import DataError
from recommender.progress import Progress

_SHOWN = 5
_BROKEN = "broken-media"
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
    videos: int = 0
    dropping: bool = False
    facts: tuple[str, ...] = ()
    """What `data.facts` found, in lines."""

    @property
    def ok(self) -> bool:
        """Whether the tables can be used: there is no error, or only of rows that are to be dropped; warnings pass."""
        dropped = self.dropping
        return not any(p.severity == "error" and not (dropped and p.row is not None) for p in self.problems)

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind, errors first, most frequent first."""
        errors = {problem.kind for problem in self.problems if problem.severity == "error"}
        counts = Counter(problem.kind for problem in self.problems).most_common()
        return dict(sorted(counts, key=lambda pair: pair[0] not in errors))

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain JSON values."""
        sizes = ("items", "users", "interactions", "images", "sounds", "videos")
        return {
            "ok": self.ok,
            **{name: getattr(self, name) for name in sizes},
            "facts": list(self.facts),
            "counts": self.counts,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def render(self, shown: int | None = _SHOWN) -> str:
        """Return the report as text, with at most `shown` problems of each kind; None: with all of them."""
        videos = f", {self.videos} videos" if self.videos else ""
        lines = [
            f"{self.items} items ({self.images} images, {self.sounds} sounds{videos}),"
            f" {self.interactions} interactions of {self.users} users",
            *self.facts,
        ]
        for kind, count in self.counts.items():
            of_kind = [problem for problem in self.problems if problem.kind == kind]
            severity = "error" if any(problem.severity == "error" for problem in of_kind) else "warning"
            lines += ["", f"{severity} {kind}: {count}", *_told(of_kind[:shown])]
            lines += (
                [f"  ... and {count - shown} more; --all lists them"] if shown is not None and count > shown else []
            )
        return "\n".join([*lines, "", self._verdict()])

    def _verdict(self) -> str:
        if not self.ok:
            return "errors: the tables cannot be used as they are"
        wrong = {(problem.source, problem.row) for problem in self.problems if problem.severity == "error"}
        return f"{len(wrong)} rows with errors are left out, as data.on_error says" if wrong else "no errors"


def validate(
    items: Any,
    interactions: Any | None = None,
    data: DataConfig | ColumnsConfig | None = None,
    media: bool = True,
    progress: Progress | None = None,
    encoders: EncodersConfig | None = None,
) -> ValidationReport:
    """Check all rows and, if `media`, all media files; problems are reported, never raised.

    `interactions` may be None. Their item ids are checked against the rows of `items` that have a usable id. `data`: names
    of columns, how the tables are written, and whether rows with errors are to be dropped. `encoders`: how much of a video
    is looked at.
    """
    data = DataConfig.of(data)
    problems: list[Problem] = []
    table = _read(items, "items", data, problems)
    read = read_items(table, data.columns_of("items")) if table else ReadItems((), (), ())
    if data.on_error == "drop":  # as `Catalogue.load` does: an item stays, without the medium that is not there
        read = read.without_absent_media()
    problems += read.problems
    if table and media:
        found = _check_media(table, read, data.columns_of("items"), encoders or EncodersConfig(), progress)
        problems += _without_media(found) if data.on_error == "drop" else found
    users, count = 0, 0
    if interactions is not None:
        catalogue = Catalogue(read.items) if read.items else None
        users, count = _check_interactions(interactions, catalogue, data, problems)
    facts = _facts(read.items, data, problems)
    return ValidationReport(
        problems=tuple(problems),
        items=len(read.items),
        users=users,
        interactions=count,
        images=sum(item.image is not None for item in read.items),
        sounds=sum(item.audio is not None for item in read.items),
        videos=sum(item.video is not None for item in read.items),
        dropping=data.on_error == "drop",
        facts=facts,
    )


def _facts(items: Sequence[Item], data: DataConfig, problems: list[Problem]) -> tuple[str, ...]:
    """Return what the table of facts gives the items, in lines."""
    if data.facts is None or not items:
        return ()
    try:
        return tuple(load_facts(items, data.facts)[1].lines())
    except DataError as error:
        problems.append(Problem(data.facts.table, None, "", "unusable-facts", error.message, hint=error.hint))
        return ()


def _read(source: Any, kind: Any, data: DataConfig, problems: list[Problem]) -> Table | None:
    try:
        return read_table(source, kind, data.items_table if kind == "items" else data.interactions_table)
    except DataError as error:
        problems.append(Problem(kind, None, "", "unreadable", error.message, hint=error.hint))
        return None


def _check_interactions(
    source: Any, catalogue: Catalogue | None, data: DataConfig, problems: list[Problem]
) -> tuple[int, int]:
    """Return how many users and interactions can be used; what is wrong is added to `problems`."""
    columns = data.columns_of("interactions")
    if catalogue is not None and holds_histories(source, columns):
        return _check_histories(source, catalogue, data, problems)
    table = _read(source, "interactions", data, problems)
    if table is None:
        return 0, 0
    events, event_problems = read_events(table, catalogue, columns, without_time=data.without_time)
    problems += event_problems
    if events is not None and events.ordered:
        problems += [*_duplicates(table, events, columns), *_ties(table, events, columns)]
    if events is None:
        return 0, 0
    usable = (events.users >= 0) & (events.items >= 0)
    return len(np.unique(events.users[usable])), int(usable.sum())


def _check_histories(source: Any, catalogue: Catalogue, data: DataConfig, problems: list[Problem]) -> tuple[int, int]:
    """Read shards of whole histories: the first thing that is wrong ends it."""
    try:
        report = Histories.load(source, catalogue, data, data.minimum_rating).report
    except DataError as error:
        problems.append(Problem("interactions", None, "", "unreadable", error.message, hint=error.hint))
        return 0, 0
    return report.users, report.interactions


def _duplicates(table: Table, events: Events, columns: ColumnsConfig) -> list[Problem]:
    """Find rows that repeat user, item and time of an earlier row. The same item at another time is no mistake."""
    usable = np.flatnonzero((events.users >= 0) & (events.items >= 0) & (events.order >= 0))
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


def _ties(table: Table, events: Events, columns: ColumnsConfig) -> list[Problem]:
    """Return one problem for all rows of which nobody can tell which came first: other items of a user at one time."""
    usable = np.flatnonzero((events.users >= 0) & (events.items >= 0) & (events.order >= 0))
    moments = np.stack([events.users[usable], events.order[usable]])
    pairs = np.unique(np.concatenate([moments, events.items[usable][None]]), axis=1)
    tied, counts = np.unique(pairs[:2], axis=1, return_counts=True)
    span = int(events.order.max(initial=0)) + 1
    rows = usable[np.isin(moments[0] * span + moments[1], (tied[0] * span + tied[1])[counts > 1])]
    if len(rows) == 0:
        return []
    column = columns.timestamp if columns.timestamp in table.columns else columns.position
    listed = ", ".join(str(table.line(int(row))) for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    reason = f"several items of a user at one time, so the file decides their order: {table.unit}s {listed}{more}"
    return [table.problem(int(rows[0]), column, "tied-time", reason, severity="warning")]


def _check_media(
    table: Table, read: ReadItems, columns: ColumnsConfig, encoders: EncodersConfig, progress: Progress | None
) -> list[Problem]:
    def watched(path: Path) -> tuple[str, ...]:
        return video_problems(path, encoders.video_frames, encoders.video_seconds)

    images = {row: item.image for row, item in zip(read.rows, read.items, strict=True) if item.image}
    sounds = {row: item.audio for row, item in zip(read.rows, read.items, strict=True) if item.audio}
    videos = {row: item.video for row, item in zip(read.rows, read.items, strict=True) if item.video}
    return [
        *_decode(table, columns.image, "image", images, lambda path: image_problems(read_image(path)), progress),
        *_same_content(table, columns.image, images),
        *_decode(table, columns.audio, "audio", sounds, lambda path: audio_problems(read_audio(path, None)), progress),
        *_decode(table, columns.video, "video", videos, watched, progress),
    ]


def _without_media(problems: list[Problem]) -> list[Problem]:
    """Return problems as they are where the items of broken media stay, without these: no errors."""
    return [replace(p, severity="warning") if p.kind == _BROKEN else p for p in problems]


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
                problems.append(table.problem(row, column, _BROKEN, error.message, hint=error.hint))
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


def _told(problems: Sequence[Problem]) -> Iterator[str]:
    """Yield lines of problems: a hint stands below those that it is of, which follow each other, once."""
    for hint, alike in groupby(problems, key=lambda problem: problem.hint):
        yield from (f"  {problem}" for problem in alike)
        if hint:
            yield f"    hint: {hint}"
