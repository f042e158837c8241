"""The log: any changed, lost, inserted or swapped row shows, and one row can be proved without the others."""

from __future__ import annotations

import copy
import json
import random
import struct
import time

import pymerkle
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, text

from recommender.errors import DataError
from recommender.store.audit import verify_proof
from recommender.store.database import reading, writing
from recommender.store.merkle import Frontier, inclusion_path, root_by_path
from recommender.store.tables import audit, heads


@pytest.fixture
def log(store):
    for number in range(12):
        store.audit.add("list", {"number": number, "items": ["a", "b"]})
        if number == 6:
            store.audit.sign_head()
    return store.audit


def change(log, *statements):
    with writing(log.engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_whole_log_is_whole(log):
    verdict = log.verify()
    assert verdict.ok and (verdict.rows, verdict.signed) == (12, 7)
    assert log.sign_head() == 12 and log.verify().signed == 12 and log.sign_head() == 12


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE audit SET body = replace(body, '\"a\"', '\"c\"') WHERE number = 5", 5),
        ("UPDATE audit SET kind = 'feedback' WHERE number = 3", 3),
        ("UPDATE audit SET time = time + 1 WHERE number = 9", 9),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 4", 4),
        ("DELETE FROM audit WHERE number = 4", 4),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number > 5", 6),
        ("INSERT INTO audit VALUES (13, 1e12, 'list', '{}', zeroblob(32))", 13),
        ("UPDATE heads SET signature = zeroblob(64)", 7),
        ("UPDATE heads SET root = zeroblob(32)", 7),
        ("UPDATE heads SET time = time + 1", 7),
    ],
)
def test_any_change_names_the_first_broken_row(log, statement, broken):
    change(log, statement)
    verdict = log.verify()
    assert not verdict.ok and verdict.broken == broken and verdict.reason


def test_a_log_that_was_written_anew_is_not_that_which_was_signed(log, store):
    from recommender.store.audit import START, row_hash

    before = START
    for number in range(1, 13):
        body = json.dumps({"number": number, "items": []})
        before = row_hash(before, number, float(number), "list", body)
        change(
            log,
            f"UPDATE audit SET body = '{body}', time = {float(number)}, hash = x'{before.hex()}' WHERE number = {number}",
        )
    verdict = log.verify()
    assert verdict.broken == 7 and "not those that were signed" in verdict.reason


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "DELETE FROM facts WHERE name = 'audit-frontier'",
        "UPDATE facts SET value = zeroblob(104) WHERE name = 'audit-frontier'",
        "UPDATE facts SET value = zeroblob(3) WHERE name = 'audit-frontier'",
    ],
)
def test_a_head_goes_on_from_the_last_one_or_from_the_start(log, open_store, statement):
    change(log, statement)
    other = open_store().audit
    other.add("list", {"more": True})
    assert other.sign_head() == 13 and log.sign_head() == 13
    verdict = log.verify()
    assert verdict.ok and verdict.signed == 13, "both heads are over the rows that there are"
    verify_proof(log.prove(13), log.public)


def test_the_last_rows_come_newest_first(log):
    assert [row.number for row in log.last(3)] == [12, 11, 10]


def test_another_key_did_not_sign_it(log):
    verdict = log.verify(Ed25519PrivateKey.generate().public_key())
    assert verdict.broken == 7 and "not signed with this key" in verdict.reason


def test_a_clock_that_goes_back_breaks_nothing(log, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    log.add("list", {"later": True})
    assert log.verify().ok


def test_a_row_is_proved_by_its_proof_and_the_public_key_alone(log):
    proof = json.loads(json.dumps(log.prove(3)))
    verify_proof(proof, log.public)
    assert json.loads(proof["row"]["body"])["number"] == 2 and proof["head"]["size"] == 7
    changed = copy.deepcopy(proof)
    changed["row"]["body"] = proof["row"]["body"].replace('"a"', '"c"')
    with pytest.raises(DataError, match="not in the log"):
        verify_proof(changed, log.public)
    changed = copy.deepcopy(proof)
    changed["head"]["size"] = 8
    with pytest.raises(DataError):
        verify_proof(changed, log.public)
    with pytest.raises(DataError, match="not signed with this key"):
        verify_proof(proof, Ed25519PrivateKey.generate().public_key())
    for wrong in ({}, proof | {"path": ["zz"]}, proof | {"head": {}}):
        with pytest.raises(DataError, match="no proof"):
            verify_proof(wrong, log.public)


@pytest.mark.parametrize("number", [0, 8, 99])
def test_what_no_head_covers_cannot_be_proved_yet(log, number):
    with pytest.raises(DataError, match="no head covers it"):
        log.prove(number)


@pytest.mark.parametrize("size", [*range(1, 18), 100])
def test_roots_and_paths_are_those_of_pymerkle(size):
    entries = [bytes([number]) * 32 for number in range(size)]
    tree, frontier = pymerkle.InmemoryTree(algorithm="sha256"), Frontier()
    for entry in entries:
        tree.append_entry(entry)
        frontier.add(entry)
    assert frontier.root() == tree.get_root()
    for place in range(size):
        path = inclusion_path(entries, place)
        assert root_by_path(entries[place], place, size, path) == tree.get_root()
        proof = tree.prove_inclusion(place + 1)
        pymerkle.verify_inclusion(tree.get_leaf(place + 1), root_by_path(entries[place], place, size, path), proof)
        for wrong in (path[:-1], [*path, b"x" * 32]):
            if wrong != path:
                with pytest.raises(ValueError, match="path is too"):
                    root_by_path(entries[place], place, size, wrong)


def test_nothing_is_signed_twice_within_an_hour(log):
    assert not log.sign_hourly()
    change(log, "UPDATE heads SET time = time - 3601")
    assert log.sign_hourly()


def test_any_changed_byte_of_any_row_and_any_head_is_found(log):
    log.sign_head()
    chance = random.Random(23)
    with reading(log.engine) as connection:
        rows = [("audit", "number", dict(row._mapping)) for row in connection.execute(select(audit))]
        rows += [("heads", "size", dict(row._mapping)) for row in connection.execute(select(heads))]
    assert log.verify().ok and len(rows) == 14
    for table, key, row in rows:
        for column, value in row.items():
            for changed in altered(value, chance):
                where = row[key] if column != key else value
                set_column(log, table, key, where, column, changed)
                assert not log.verify().ok, (table, column, value, changed)
                set_column(log, table, key, changed if column == key else where, column, value)
    assert log.verify().ok


def altered(value, chance):
    """Return a value of a column with one byte changed, some times over."""
    if isinstance(value, int):
        return [value ^ 1 << 20]
    if isinstance(value, float):
        bits = struct.unpack(">Q", struct.pack(">d", value))[0]
        return [struct.unpack(">d", struct.pack(">Q", bits ^ 1 << chance.randrange(52)))[0] for _ in range(2)]
    plain = value.encode() if isinstance(value, str) else bytes(value)
    made = []
    for place in {0, len(plain) - 1, chance.randrange(len(plain))}:
        changed = plain[:place] + bytes([plain[place] ^ 1 << chance.randrange(6)]) + plain[place + 1 :]
        made.append(changed.decode() if isinstance(value, str) else changed)
    return made


def set_column(log, table, key, where, column, value):
    with writing(log.engine) as connection:
        connection.execute(
            text(f"UPDATE {table} SET {column} = :value WHERE {key} = :where"), {"value": value, "where": where}
        )
