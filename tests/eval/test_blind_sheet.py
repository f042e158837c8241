"""The blind sheet: it hides who wrote what, and marks come back as a preference with a test."""

from __future__ import annotations

import csv
import json

import pytest

from recommender.errors import DataError
from recommender.eval.blind_sheet import Pair, blind_sheet, preference, sheet_files

PAIRS = [Pair(f"History {n}", f"Item {n}", f"model says {n}", f"plain says {n}") for n in range(20)]
SYSTEMS = ("model", "plain")


@pytest.fixture
def written(tmp_path):
    for name, content in sheet_files(blind_sheet(PAIRS, SYSTEMS, seed=3)).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def mark(folder, choose, name="sheet.csv"):
    """Fill in the sheet: `choose` gets a row and returns what is written into `preferred`."""
    rows = list(csv.DictReader((folder / name).open(encoding="utf-8-sig", newline="")))
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "preferred": choose(row)} for row in rows)
    return folder / name


def prefer(system):
    return lambda row: "left" if row["left"].startswith(system) else "right"


def test_both_stand_on_both_sides_in_an_order_that_the_seed_decides():
    sheet, same, other = (blind_sheet(PAIRS, SYSTEMS, seed) for seed in (3, 3, 4))
    assert sheet == same != other
    assert {row["left"].split()[0] for row in sheet.rows} == {"model", "plain"}
    assert [row["item"] for row in sheet.rows] != [pair.item for pair in PAIRS]
    assert all(sheet.key["left"][row["number"]] == row["left"].split()[0] for row in sheet.rows)


def test_the_sheet_does_not_hold_the_key(written):
    head = (written / "sheet.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert head == "number,history,item,left,right,preferred"
    assert (
        "20. Item" in (written / "sheet.html").read_text()
        and "model" in json.loads((written / "key.json").read_text())["systems"]
    )


def test_pairs_of_the_same_text_are_left_out():
    sheet = blind_sheet([*PAIRS, Pair("h", "i", "same", "same")], SYSTEMS, 0, most=5)
    assert len(sheet.rows) == 5 and sheet.key["same_text"] == 1


def test_a_preference_is_counted_for_the_system_not_the_side(written):
    told = preference(mark(written, prefer("model")), written / "key.json")
    assert told["preferred"] == {"model": 20, "plain": 0, "same": 0} and told["share"] == 1
    assert (
        told["p"] == pytest.approx(2 / 2**20) and told["low"] == pytest.approx(0.8316, abs=1e-4) and told["high"] == 1
    )


def test_ties_and_gaps_count_for_neither(written):
    marks = {str(n): mark for n, mark in enumerate(["same", "", " LEFT "], start=1)}
    told = preference(mark(written, lambda row: marks.get(row["number"], "=")), written / "key.json")
    assert sum(told["preferred"].values()) == 19 and told["not_marked"] == 1 and told["p"] == 1


def test_json_lines_are_read_too_and_nothing_marked_has_no_share(written):
    told = preference(written / "sheet.jsonl", written / "key.json")
    assert told["not_marked"] == 20 and told["share"] is None and told["p"] is None


def test_what_cannot_be_a_mark_is_named(written):
    with pytest.raises(DataError, match="row 1: preferred is 'maybe'"):
        preference(mark(written, lambda row: "maybe"), written / "key.json")


def test_another_key_is_refused(written):
    (written / "key.json").write_text(json.dumps({"systems": ["a", "b"], "left": {"99": "a"}}))
    with pytest.raises(DataError, match="is .*key|number"):
        preference(written / "sheet.csv", written / "key.json")
    (written / "key.json").write_text("{}")
    with pytest.raises(DataError, match="no key of a blind sheet"):
        preference(written / "sheet.csv", written / "key.json")
    with pytest.raises(DataError, match="cannot be read"):
        preference(written / "sheet.csv", written / "nothing.json")
