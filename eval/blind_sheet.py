"""A blind comparison: justifications of two systems for the same items side by side, in random order, to be marked.

Whoever marks the sheet sees "left" and "right" only. Which system stands where is in the key, a file of its own. Read back,
the marks give the share that prefers the one system, with a sign test and an exact interval (ties count for neither).
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from recommender.errors import DataError
from recommender.eval.report_parts import json_bytes
from recommender.pages import page_environment

COLUMNS = ("number", "history", "item", "left", "right", "preferred")
MARKS = {"left": "left", "l": "left", "right": "right", "r": "right", "same": "same", "s": "same", "=": "same"}
"""What may stand in the column `preferred`; an empty one was not marked."""
LEVEL = 0.95


@dataclass(frozen=True)
class Pair:
    """Two texts on one item, by the first and the second system; `history` and `item` in words."""

    history: str
    item: str
    first: str
    second: str


@dataclass(frozen=True)
class Sheet:
    """Rows to be marked, and the key: for each row's number which system stands left."""

    rows: tuple[dict[str, str], ...]
    key: dict[str, Any]


def blind_sheet(pairs: Sequence[Pair], systems: tuple[str, str], seed: int, most: int | None = None) -> Sheet:
    """Return a sheet of the pairs that differ, in random order, each in random sides; at most `most` of them."""
    draw = random.Random(seed)
    different = [pair for pair in pairs if pair.first != pair.second]
    drawn = draw.sample(different, min(len(different), len(different) if most is None else most))
    rows, left = [], {}
    for number, pair in enumerate(drawn, start=1):
        swapped = draw.random() < 0.5
        texts = (pair.second, pair.first) if swapped else (pair.first, pair.second)
        left[str(number)] = systems[swapped]
        values = (str(number), pair.history, pair.item, *texts, "")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    same = len(pairs) - len(different)
    return Sheet(tuple(rows), {"systems": list(systems), "seed": seed, "left": left, "same_text": same})


def sheet_files(sheet: Sheet) -> dict[str, bytes]:
    """Return the sheet as CSV, as JSON lines and as a page to print, and its key: file name -> content."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sheet.rows)
    page = page_environment(Path(__file__).parent).get_template("blind_sheet.html.jinja").render(rows=sheet.rows)
    return {
        "sheet.csv": table.getvalue().encode("utf-8-sig"),  # spreadsheets take it for UTF-8 only so
        "sheet.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in sheet.rows).encode(),
        "sheet.html": page.encode(),
        "key.json": json_bytes(sheet.key),
    }


def preference(sheet: Path, key: Path) -> dict[str, Any]:
    """Return how a marked sheet (CSV or JSON lines) prefers the two systems of its key.

    `share`: of the first system among the pairs with a preference, `low` and `high` its 95 % Clopper-Pearson interval, `p`
    of the two-sided sign test. Raises DataError for a mark that is none of `MARKS`, or rows that the key does not know.
    """
    known = _read_key(key)
    first, second = known["systems"]
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for place, row in enumerate(_rows(sheet), start=1):
        number = str(row.get("number", "")).strip()
        if number not in known["left"] or number in seen:
            problem = "twice" if number in seen else "that the key does not have"
            raise DataError(f"{sheet}: row {place}: number {number!r} {problem}", f"is {key} the key of this sheet?")
        seen.add(number)
        counts[_preferred(row, place, sheet, known["left"][number], (first, second))] += 1
    return _tested(counts, first, second)


def _tested(counts: Mapping[str, int], first: str, second: str) -> dict[str, Any]:
    wins, losses = counts.get(first, 0), counts.get(second, 0)
    told = {
        "systems": [first, second],
        "preferred": {first: wins, second: losses, "same": counts.get("same", 0)},
        "not_marked": counts.get("", 0),
    }
    if not wins + losses:
        return {**told, "share": None, "low": None, "high": None, "p": None}
    test = binomtest(wins, wins + losses)
    interval = test.proportion_ci(LEVEL, method="exact")
    share = wins / (wins + losses)
    return {**told, "share": share, "low": float(interval.low), "high": float(interval.high), "p": float(test.pvalue)}


def _preferred(row: Mapping[str, Any], place: int, sheet: Path, left: str, systems: tuple[str, str]) -> str:
    """Return the system that a row prefers, "same" for neither, "" where nothing was marked."""
    given = str(row.get("preferred") or "").strip().casefold()
    if not given:
        return ""
    if given not in MARKS:
        raise DataError(f"{sheet}: row {place}: preferred is {given!r}", "write left, right or same, or leave it empty")
    right = systems[1] if left == systems[0] else systems[0]
    return {"left": left, "right": right, "same": "same"}[MARKS[given]]


def _rows(sheet: Path) -> list[dict[str, Any]]:
    """Return the rows of a sheet. Raises DataError."""
    text = _text(sheet)
    try:
        if sheet.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            delimiter = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
            rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    except (ValueError, csv.Error) as error:
        raise DataError(f"{sheet}: cannot be read ({error})", "give the CSV or JSON lines of a blind sheet") from None
    if not rows or not all(isinstance(row, dict) and {"number", "preferred"} <= set(row) for row in rows):
        raise DataError(f"{sheet}: no blind sheet", f"its columns are {', '.join(COLUMNS)}")
    return rows


def _read_key(path: Path) -> dict[str, Any]:
    try:
        key = json.loads(_text(path))
        first, second = key["systems"]
        if not all(side in (first, second) for side in key["left"].values()):
            raise ValueError("it names another system")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: no key of a blind sheet ({error})", "give the key.json that was written with it"
        ) from None
    return dict(key)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(f"{path}: cannot be read: {reason}", "give a file that `study justifications` wrote") from None
