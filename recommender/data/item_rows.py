"""Rows of a table -> items, and everything that is wrong or odd about them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recommender.config import ColumnsConfig
from recommender.data.cells import PEOPLE, flat, listed, plain_text
from recommender.data.cleaning import clean_text, clean_title, is_blank, is_placeholder, is_unseen
from recommender.data.columns import is_unnamed
from recommender.data.ids import canonical_id
from recommender.data.tables import Problem, Table
from recommender.errors import DataError

LONG_TITLE = 300
"""characters from which a title is warned of: it takes the room of the history in every prompt that spells it out"""
LONG_TEXT = 20_000
"""characters from which a description is warned of: text encoders read the first few hundred words"""
_ROLE = re.compile(r"\s*\([^()]*\)$")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]{2,3})?")
_CHAT_MARKUP = re.compile(
    r"<\|[^|<>]{1,40}\|>|\[/?INST\]|<<SYS>>|</?s>|<(?:start|end)_of_turn>|^\s*#{2,} ?(?:Instruction|Response):", re.I
)


@dataclass(frozen=True, slots=True)  # there may be millions
class Item:
    """An item that may be recommended. Text is clean: no HTML, one line."""

    item_id: str
    title: str
    text: str = ""
    image: Path | None = None
    audio: Path | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_encoded: frozenset[str] = frozenset()
    """Names of attributes that no text encoder reads (`data.facts.encoded: false`)."""
    video: Path | None = None
    """Gives a picture to an item without `image`, and a sound to one without `audio`."""


@dataclass(frozen=True)
class ReadItems:
    """The items of a table, the row each came from, and everything that is wrong; an unusable id gives no item."""

    items: tuple[Item, ...]
    rows: tuple[int, ...]
    problems: tuple[Problem, ...]

    @property
    def html_cleaned(self) -> int:
        """Number of rows from which HTML was removed."""
        return len({problem.row for problem in self.problems if problem.kind == "html"})

    def without_problems(self, kind: str, table: Table, item_ids: Container[str]) -> ReadItems:
        """Return the items without the problems of one kind that those of some ids have."""
        lines = {table.line(row) for row, item in zip(self.rows, self.items, strict=True) if item.item_id in item_ids}
        left = (problem for problem in self.problems if problem.kind != kind or problem.row not in lines)
        return replace(self, problems=tuple(left))

    def without_absent_media(self) -> ReadItems:
        """Return the items without media files that do not exist; that they do not is then a warning."""
        items = tuple(
            replace(item, image=_existing(item.image), audio=_existing(item.audio), video=_existing(item.video))
            for item in self.items
        )
        problems = tuple(
            replace(problem, severity="warning") if problem.kind == "missing-media" else problem
            for problem in self.problems
        )
        return ReadItems(items, self.rows, problems)


def read_items(table: Table, columns: ColumnsConfig) -> ReadItems:
    """Turn rows into items and list everything that is wrong; raises nothing."""
    if columns.item_id not in table.columns:
        return ReadItems((), (), (*table.problems, table.missing(columns.item_id, "item_id")))
    problems = list(table.problems)
    ids = _item_ids(table, columns.item_id, problems)
    titles = _texts(table, columns.title, "title", problems)
    texts = _texts(table, columns.description, "text", problems)
    problems += _equal_titles(table, columns.title, titles)
    images = _media(table, columns.image, problems)
    audios = _media(table, columns.audio, problems)
    videos = _media(table, columns.video, problems)
    attributes = _attributes(table, columns, problems)
    rows = tuple(row for row, item_id in enumerate(ids) if item_id)
    items = tuple(
        Item(
            ids[row],
            titles[row] or f"item {ids[row]}",
            texts[row],
            images[row],
            audios[row],
            attributes[row],
            video=videos[row],
        )
        for row in rows
    )
    return ReadItems(items, rows, tuple(sorted(problems, key=lambda problem: problem.row or 0)))


def attribute_values(name: str, value: Any) -> tuple[str, ...]:
    """Return an attribute's values as clean, distinct texts; see `listed` for what is split."""
    return _clean_values(name, listed([value], name)[0])


def _item_ids(table: Table, column: str, problems: list[Problem]) -> list[str]:
    """Return the id of each row, "" where there is none or it was used before."""
    first: dict[str, int] = {}
    ids: list[str] = []
    for row, value in enumerate(table.values(column)):
        try:
            name = canonical_id(value)
        except DataError:
            problems.append(table.id_problem(row, column, value, "item"))
            name = ""
        if name and first.setdefault(name, row) != row:
            reason = f"duplicate item id {name!r}, first in {table.unit} {table.line(first[name])}"
            problems.append(table.problem(row, column, "duplicate-id", reason, hint="item ids must be unique"))
            name = ""
        ids.append(name)
    return ids


def _texts(table: Table, column: str, kind: str, problems: list[Problem]) -> list[str]:
    """Return a column's clean texts, "" where blank. A title may be any sign: "÷", "!!!" and "None" are names."""
    if column not in table.columns:
        reason = f"no column {column!r}"
        problems.append(table.problem(None, "", f"no-{kind}", reason, severity="warning"))
        return [""] * table.rows
    texts = []
    for row, value in enumerate(table.values(column)):
        raw = _text(table, row, column, value, problems)
        text = clean_title(raw) if kind == "title" else clean_text(raw)
        blank = _says_no_name(text) if kind == "title" else is_blank(text)
        if blank:
            reason = "blank" if not text else f"near-blank text {text[:20]!r}"
            problems.append(table.problem(row, column, f"blank-{kind}", reason, severity="warning"))
        for what, reason in _oddities(raw, text, kind):
            problems.append(table.problem(row, column, what, reason, severity="warning"))
        texts.append("" if blank else text)
    return texts


def _says_no_name(title: str) -> bool:
    """Return whether a title has nothing that lists could show or prompts could spell out: unseen, or only chat markup.

    "<S>" is a name.
    """
    return is_unseen(title) or title != "<S>" and is_unseen(_CHAT_MARKUP.sub("", title))


def _text(table: Table, row: int, column: str, value: Any, problems: list[Problem]) -> str:
    try:
        return " ".join(flat(value))
    except DataError as error:
        problems.append(table.problem(row, column, "not-utf8", error.message, hint=error.hint))
        return ""


def _oddities(raw: str, text: str, kind: str) -> list[tuple[str, str]]:
    """Return (kind, reason) of what is odd about a text, and of what cleaning took from it."""
    found = []
    if kind == "title" and text and is_placeholder(text):
        found.append(("odd-title", f"{text!r} is kept, though it may stand for a missing title"))
    if ("<" in raw or "&" in raw) and text != " ".join(raw.split()):
        found.append(("html", "HTML removed"))
    if any(unicodedata.category(char) == "Cc" and not char.isspace() for char in raw if not char.isprintable()):
        found.append(("control-characters", "control characters removed"))
    if len(text) > (LONG_TITLE if kind == "title" else LONG_TEXT):
        found.append((f"long-{kind}", f"{len(text):,} characters: a model reads only the beginning"))
    if markup := _CHAT_MARKUP.search(text):
        found.append(
            ("chat-markup", f"holds {markup[0].strip()[:30]!r}, which language models take for the end of a turn")
        )
    return found


def _equal_titles(table: Table, column: str, titles: Sequence[str]) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for row, title in enumerate(titles):
        earlier = first.setdefault(unicodedata.normalize("NFC", title).casefold(), row) if title else row
        if earlier != row:
            reason = f"the same title as {table.unit} {table.line(earlier)}: {title[:40]!r}"
            problems.append(table.problem(row, column, "equal-title", reason, severity="warning"))
    return problems


def _media(table: Table, column: str, problems: list[Problem]) -> list[Path | None]:
    """Return paths of files that exist or not, None where the table names none."""
    paths: list[Path | None] = []
    for row, value in enumerate(table.values(column)):
        path = _media_path(value)
        full = None if path is None else (table.folder or Path()) / path
        if (
            full is not None
            and table.folder is not None
            and not _holds_bytes(value)
            and not _is_within(full, table.folder)
        ):
            reason, hint = (
                f"lies outside the folder of its table: {path}",
                "name its folder in RECOMMENDER_MEDIA_FOLDERS",
            )
            problems.append(table.problem(row, column, "missing-media", reason, hint=hint))
            full = None
        elif full is not None and not _is_file(full):
            link = "://" in str(path)
            reason = f"a link, not a file: {path}" if link else f"no such file: {path}"
            start = "the working folder" if table.folder is None else table.folder.absolute()
            hint = "download it first" if link else f"relative paths start at {start}"
            problems.append(table.problem(row, column, "missing-media", reason, hint=hint))
        paths.append(full)
    return paths


def _holds_bytes(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, dict) and bool(value.get("bytes")))


def _is_within(path: Path, folder: Path) -> bool:
    # imported here: reading media needs libraries that a catalogue without media does not
    from recommender.data.media import is_within

    return is_within(path, folder)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name that a file could have
        return False


def _existing(path: Path | None) -> Path | None:
    return path if path is not None and _is_file(path) else None


def _media_path(value: Any) -> str | None:
    """Return the path of a medium; binary columns and those of `datasets` may hold the bytes themselves."""
    record: dict[str, Any] = (
        value if isinstance(value, dict) else {"bytes": value} if isinstance(value, bytes) else {"path": value}
    )
    if record.get("bytes"):
        # imported here: reading media needs libraries that a catalogue of plain files does not
        from recommender import assets
        from recommender.data.media import keep_bytes

        suffix = Path(record.get("path") or "").suffix
        return str(keep_bytes(record["bytes"], assets.cache_dir() / "media", suffix))
    return plain_text(record.get("path"))


def _attributes(table: Table, columns: ColumnsConfig, problems: list[Problem]) -> list[dict[str, tuple[str, ...]]]:
    taken = {columns.item_id, columns.title, columns.description, columns.image, columns.audio, columns.video}
    rows: list[dict[str, tuple[str, ...]]] = [{} for _ in range(table.rows)]
    for name in table.columns:
        if name in taken:
            continue
        if is_unnamed(name):
            reason = f"column {name!r} has no name and is left out: an index that was written along"
            problems.append(table.problem(None, "", "unnamed-column", reason, severity="warning"))
            continue
        # many items have the same values: they are cleaned once, and kept once
        known: dict[tuple[str, ...], tuple[str, ...]] = {}
        for attributes, values in zip(rows, _attribute_column(table, name, problems), strict=True):
            key = tuple(values)
            if (texts := known.get(key)) is None:
                texts = known[key] = _clean_values(name, values)
            if texts:
                attributes[name] = texts
    return rows


def _attribute_column(table: Table, name: str, problems: list[Problem]) -> list[list[str]]:
    """Return the texts of each cell of an attribute; bytes that are no text are reported, and none."""
    values = _as_written_floats(table.values(name))
    try:
        return listed(values, name)
    except DataError:
        readable = [_if_text(table, row, name, value, problems) for row, value in enumerate(values)]
        return listed(readable, name)


def _as_written_floats(values: list[Any]) -> list[Any]:
    """Return a text column of floats as Python and pandas write them ("1995.0", "1e+16", "") as floats, others as they are.

    So the table says what the frame said from which it was written: 1995 where that held 1995.0. A column with texts of
    another form ("19.90", "2") is left alone.
    """
    floats: list[Any] = []
    for value in values:
        text = value.strip() if isinstance(value, str) else "" if value is None else None
        if text is None or (text and not (_FLOAT.fullmatch(text) and repr(float(text)) == text)):
            return values
        floats.append(float(text) if text else None)
    return floats


def _if_text(table: Table, row: int, name: str, value: Any, problems: list[Problem]) -> Any:
    before = len(problems)
    _text(table, row, name, value, problems)
    return value if len(problems) == before else None


def _clean_values(name: str, raw: Sequence[str]) -> tuple[str, ...]:
    texts = [clean_text(text) for text in raw]
    if name.lower() in PEOPLE:  # "Joss Whedon (screenplay)" and "Joss Whedon (story)" are one writer
        texts = [_ROLE.sub("", text) for text in texts]
    return tuple(dict.fromkeys(text for text in texts if not is_placeholder(text)))
