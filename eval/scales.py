"""Five scales by which people judge explanations, on blind sheets: transparency, effectiveness, persuasion, trust, pleasure.

The aims are those of Tintarev and Masthoff ("A Survey of Explanations in Recommender Systems", ICDE workshops 2007). Every
reader marks the same items, each with the text of one system only, which the sheet does not name; over the readers the
systems take turns (a Latin square), so an item's own appeal cancels out. How well a text helps to decide is asked, and
measured too, if people come back after they tried the item: the gap between what they expected and what they found.
"""

from __future__ import annotations

import csv
import io
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.errors import DataError
from recommender.eval.bootstrap import Bootstrap
from recommender.eval.report_parts import json_bytes
from recommender.pages import page_environment
from recommender.strict.json_documents import read_json_object

#: name -> what the reader agrees with, from 1 (not at all) to 5 (entirely)
SCALES: Mapping[str, str] = {
    "transparency": "I understand why this was recommended.",
    "effectiveness": "It tells me what I need to know to decide.",
    "persuasion": "It makes me want to try this.",
    "trust": "I believe what it says.",
    "satisfaction": "I like to be told it in this way.",
}
EXPECTED, FOUND = "expected", "found"
"""How good the reader expects the item to be, and, later, how good it was: from 1 to 5."""
COLUMNS = ("number", "history", "item", "text", *SCALES, EXPECTED, FOUND)
LOWEST, HIGHEST = 1, 5
#: readers below whose number an interval over readers is too narrow
FEW_READERS = 10
_GAP = "gap between expected and found"


@dataclass(frozen=True)
class Explained:
    """One item with its history, both in words, and the text of each system."""

    history: str
    item: str
    texts: Mapping[str, str]


def sheets(explained: Sequence[Explained], systems: Sequence[str], readers: int, seed: int) -> dict[str, bytes]:
    """Return a sheet for each reader, as a table to fill in and as a page to print, and the key: file name -> content.

    Raises DataError for fewer readers than systems: some text would be read by nobody.
    """
    if readers < len(systems):
        message = f"{readers} readers for {len(systems)} systems"
        raise DataError(f"{message}: some texts would be read by nobody", f"take at least {len(systems)} readers")
    page = page_environment(Path(__file__).parent).get_template("scales.html.jinja")
    files: dict[str, bytes] = {}
    key: dict[str, dict[str, str]] = {}
    for reader in range(1, readers + 1):
        order = random.Random(f"{seed} {reader}").sample(range(len(explained)), len(explained))
        rows, key[str(reader)] = [], {}
        for number, place in enumerate(order, start=1):
            system, one = systems[(place + reader) % len(systems)], explained[place]
            key[str(reader)][str(number)] = system
            rows.append({"number": number, "history": one.history, "item": one.item, "text": one.texts[system]})
        files[f"reader-{reader}.csv"] = _table(rows)
        files[f"reader-{reader}.html"] = page.render(rows=rows, scales=SCALES, reader=reader).encode()
    return files | {"key.json": json_bytes({"systems": list(systems), "seed": seed, "systems_of": key})}


def _table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")  # spreadsheets take it for UTF-8 only so


def read_marks(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Return how each system was judged in the marked sheets of a folder, with 95 % intervals over the readers.

    `scales`: a row a scale, and one for the gap between expected and found, in absolute value: mean, low and high of each
    system, and of its difference to the first one. A scale that some reader did not mark for some system is taken over the
    others. Raises DataError for no sheet, a mark that is no number from 1 to 5, and rows that the key does not know.
    """
    known = read_json_object(folder / "key.json", "key of the sheets", "give the folder that the study wrote")
    systems, systems_of = list(known["systems"]), known["systems_of"]
    values, marked = [], 0
    for reader, of_number in systems_of.items():
        path = folder / f"reader-{reader}.csv"
        if path.is_file() and (marks := _marks(path, of_number)):
            marked += 1
            values.append([[_mean(marks[system, name]) for name in (*SCALES, _GAP)] for system in systems])
    if not marked:
        raise DataError(f"{folder}: no sheet holds a mark", "fill in the columns of reader-1.csv and so on")
    bootstrap = Bootstrap(np.array(values), seed)
    means, differences = bootstrap.means(), bootstrap.differences(0)
    rows = [
        _row(name, place, systems, means, differences, int(bootstrap.users[place]))
        for place, name in enumerate((*SCALES, _GAP))
    ]
    return {"systems": systems, "readers": marked, "few": marked < FEW_READERS, "scales": rows}


def _row(name: str, place: int, systems: Sequence[str], means: Any, differences: Any, readers: int) -> dict[str, Any]:
    def numbers(estimates: Any, system: int) -> dict[str, float | None]:
        if not readers:
            return {"mean": None, "low": None, "high": None}
        return {part: float(getattr(estimates, part)[system, place]) for part in ("mean", "low", "high")}

    judged = {system: numbers(means, at) for at, system in enumerate(systems)}
    beyond = {system: numbers(differences, at) for at, system in enumerate(systems) if at}
    return {"scale": name, "readers": readers, "systems": judged, f"less {systems[0]}": beyond}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan


def _marks(path: Path, of_number: Mapping[str, str]) -> dict[tuple[str, str], list[float]]:
    """Return what a reader marked: (system, scale) -> marks. Empty for a sheet without any."""
    marks: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for place, row in enumerate(_rows(path), start=1):
        number = str(row.get("number") or "").strip()
        if number not in of_number:
            raise DataError(f"{path}: row {place}: the key does not have number {number!r}", "is it another study's?")
        given = {name: _mark(path, place, name, row.get(name)) for name in (*SCALES, EXPECTED, FOUND)}
        for name in SCALES:
            if (mark := given[name]) is not None:
                marks[of_number[number], name].append(mark)
        if (expected := given[EXPECTED]) is not None and (found := given[FOUND]) is not None:
            marks[of_number[number], _GAP].append(abs(expected - found))
    return marks


def _mark(path: Path, place: int, name: str, text: str | None) -> float | None:
    text = (text or "").strip().replace(",", ".")
    if not text:
        return None
    try:
        mark = float(text)
    except ValueError:
        mark = np.nan
    if not LOWEST <= mark <= HIGHEST:
        raise DataError(
            f"{path}: row {place}: {name} is {text!r}", f"write a number from {LOWEST} to {HIGHEST}, or leave it empty"
        )
    return mark


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}", "save the sheet as CSV in UTF-8") from None
    head = text.partition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ","))
    if rows and not {"number", *SCALES} <= set(rows[0]):
        raise DataError(f"{path}: no sheet of this study", f"its columns are {', '.join(COLUMNS)}")
    return rows
