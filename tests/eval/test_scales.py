"""Blind sheets on five scales: readers take turns with the systems, and marks come back as means with intervals."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import numpy as np
import pytest

from recommender.errors import DataError
from recommender.eval.scales import COLUMNS, SCALES, Explained, read_marks, sheets

SYSTEMS = ("model", "plain", "none")
ITEMS = [Explained(f"History {n}", f"Item {n}", {name: f"{name} on {n}" for name in SYSTEMS}) for n in range(6)]


@pytest.fixture
def written(tmp_path):
    for name, content in sheets(ITEMS, SYSTEMS, readers=6, seed=3).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def rows_of(path):
    return list(csv.DictReader(path.open(encoding="utf-8-sig", newline="")))


def mark(folder, reader, choose, delimiter=","):
    """Fill in a sheet; `choose` gets a row's text and returns what is written into some columns."""
    path = folder / f"reader-{reader}.csv"
    rows = [row | choose(row["text"]) for row in rows_of(path)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def test_over_the_readers_every_item_is_explained_by_every_system_alike(written):
    read = Counter(row["text"] for reader in range(1, 7) for row in rows_of(written / f"reader-{reader}.csv"))
    assert read == {f"{name} on {n}": 2 for name in SYSTEMS for n in range(6)}
    key = json.loads((written / "key.json").read_text())["systems_of"]
    for reader in range(1, 7):
        rows = rows_of(written / f"reader-{reader}.csv")
        assert Counter(row["text"].split()[0] for row in rows) == dict.fromkeys(SYSTEMS, 2)
        assert all(key[str(reader)][row["number"]] == row["text"].split()[0] for row in rows)
    assert len({tuple(row["item"] for row in rows_of(written / f"reader-{r}.csv")) for r in range(1, 7)}) > 1


def test_a_sheet_to_print_holds_the_scales_and_no_system(tmp_path):
    texts = {"model": "<b>one</b>", "none": ""}
    files = sheets([Explained("h", "i", texts)], ("model", "none"), 2, 0)
    pages = [files["reader-1.html"].decode(), files["reader-2.html"].decode()]
    assert all(statement in page for statement in SCALES.values() for page in pages)
    assert sum("&lt;b&gt;one" in page for page in pages) == sum("without an explanation" in page for page in pages) == 1


def test_marks_become_means_and_paired_differences(written):
    given = {"model": "5", "plain": "3", "none": "1"}
    for reader in range(1, 6):
        mark(written, reader, lambda text: {"trust": given[text.split()[0]], "persuasion": str(1 + len(text) % 4)})
    read = read_marks(written)
    assert read["readers"] == 5 and read["few"] and read["systems"] == list(SYSTEMS)
    trust = next(row for row in read["scales"] if row["scale"] == "trust")
    assert {name: cell["mean"] for name, cell in trust["systems"].items()} == {"model": 5, "plain": 3, "none": 1}
    assert trust["less model"]["plain"] == {"mean": -2, "low": -2, "high": -2}
    persuasion = next(row for row in read["scales"] if row["scale"] == "persuasion")["systems"]
    texts = [row["text"] for reader in range(1, 6) for row in rows_of(written / f"reader-{reader}.csv")]
    for name in SYSTEMS:
        expected = np.mean([1 + len(text) % 4 for text in texts if text.startswith(name)])
        assert persuasion[name]["mean"] == pytest.approx(expected)
    unmarked = next(row for row in read["scales"] if row["scale"] == "satisfaction")
    assert unmarked["readers"] == 0 and unmarked["systems"]["model"]["mean"] is None


def test_how_well_it_helps_to_decide_is_the_gap_to_what_was_found(written):
    found = {"model": "4", "plain": "2,5", "none": "1"}
    for reader in range(1, 4):
        mark(written, reader, lambda text: {"expected": "4", "found": found[text.split()[0]]}, ";")
    gap = read_marks(written)["scales"][-1]
    assert {name: cell["mean"] for name, cell in gap["systems"].items()} == {"model": 0, "plain": 1.5, "none": 3}


@pytest.mark.parametrize(
    ("value", "match"), [("6", r"row 1: trust is '6'"), ("good", r"trust is 'good'"), ("0.5", "from 1 to 5")]
)
def test_a_mark_that_is_none_names_its_row(written, value, match):
    mark(written, 1, lambda _: {"trust": value})
    with pytest.raises(DataError) as error:
        read_marks(written)
    assert re.search(match, f"{error.value.message} {error.value.hint}")


def test_what_cannot_be_read_is_one_line(written, tmp_path_factory):
    with pytest.raises(DataError, match="no sheet holds a mark"):
        read_marks(written)
    with pytest.raises(DataError, match=r"key\.json"):
        read_marks(tmp_path_factory.mktemp("empty"))
    with pytest.raises(DataError, match="2 readers for 3 systems"):
        sheets(ITEMS, SYSTEMS, 2, 0)
    (written / "reader-1.csv").write_text("number,trust\n1,5\n")
    with pytest.raises(DataError, match="no sheet of this study"):
        read_marks(written)
