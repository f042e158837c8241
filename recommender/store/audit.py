"""The log of what was done, as a chain of hashes whose Merkle roots are signed: a changed, lost or inserted row shows.

Row n holds the hash of row n - 1 in its own. Every hour, and on a clean end, a head is signed: the number of rows, the end
of the chain, and the root of the RFC 9162 tree over the rows, by which one row can be proved without the others. Rows hold
no user id: the person of a row is named by a keyed hash that only their own key can make, and what is personal in it is
sealed with that key, so forgetting somebody leaves the chain whole.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, Engine, delete, insert, select

from recommender.errors import DataError
from recommender.store.database import outliving_kills, reading, writing
from recommender.store.merkle import Frontier, inclusion_path, root_by_path
from recommender.store.tables import audit, facts, heads

START = hashlib.sha256(b"recommender audit 1").digest()
"""What stands before the first row."""
HEAD_SECONDS = 3600.0
_ROWS_AT_ONCE = 10_000
_CLOCK = 1e-3
#: name among the facts of the store of the tree as the last head saw it, from where the next one goes on
_FRONTIER = "audit-frontier"
_COLUMNS = select(audit.c.number, audit.c.time, audit.c.kind, audit.c.body, audit.c.hash)
_LAST = select(audit.c.number, audit.c.time, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
_INSERT = insert(audit)
_quoted = json.encoder.encode_basestring


@dataclass(frozen=True)
class Row:
    """One row of the log. `body`: JSON as it was hashed."""

    number: int
    time: float
    kind: str
    body: str
    hash: bytes
    """What the Merkle tree holds of the row; it holds all rows before it."""


@dataclass(frozen=True)
class Verdict:
    """What a check of the log found. `broken`: the first row that is not as it was written, and `reason` says how; a fault
    of a head is at its size. `rows`, `signed`: how many rows there are, and how many of them a signed head covers."""

    rows: int
    signed: int
    broken: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is as it was written."""
        return self.broken is None


def row_hash(before: bytes, number: int, when: float, kind: str, body: str) -> bytes:
    """Return the hash of a row behind the hash of the row before it."""
    content = f"[{number},{when!r},{_quoted(kind)}]\n{body}"  # the first line tells where the body begins
    return hashlib.sha256(before + content.encode()).digest()


class AuditLog:
    """The log of one store. Several processes may write: each row is hashed within the transaction that keeps it."""

    def __init__(self, engine: Engine, signing: Ed25519PrivateKey) -> None:
        """`signing`: what heads are signed with."""
        self.engine, self.signing = engine, signing
        self._quick = outliving_kills(engine)
        self._adding, self._signing = threading.Lock(), threading.Lock()

    @property
    def public(self) -> Ed25519PublicKey:
        """What heads are checked with."""
        return self.signing.public_key()

    def add(self, kind: str, body: Mapping[str, Any], connection: Connection | None = None) -> int:
        """Keep a row and return its number; with a `connection`, in one transaction with what it tells of.

        A row by itself outlives a killed process; it is on the disk with the next head or change of the store.
        """
        if connection is not None:
            return self._add(connection, kind, body)
        with self._adding, writing(self._quick) as own:
            return self._add(own, kind, body)

    def _add(self, connection: Connection, kind: str, body: Mapping[str, Any]) -> int:
        text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        last = connection.execute(_LAST).first()
        number, before, when = 1, START, round(time.time(), 3)
        if last is not None:
            number, before = last.number + 1, bytes(last.hash)
            # a clock that was put back must not make rows look as if they had changed places
            when = max(when, round(last.time + _CLOCK, 3))
        row = {"number": number, "time": when, "kind": kind, "body": text}
        connection.execute(_INSERT, row | {"hash": row_hash(before, number, when, kind, text)})
        return number

    def sign_head(self) -> int:
        """Sign the log as it is and return the number of rows that the head covers; nothing new, no new head."""
        with self._signing:
            with reading(self.engine) as connection:  # rows never change: nobody waits while they are read
                frontier, chain = self._grown(connection)
            return self._sign(frontier, chain) if frontier.size else 0

    def _sign(self, frontier: Frontier, chain: bytes) -> int:
        head = {"size": frontier.size, "time": round(time.time(), 3), "root": frontier.root(), "chain": chain}
        with writing(self.engine) as connection:
            if connection.execute(select(heads.c.size).where(heads.c.size == frontier.size)).first() is None:
                connection.execute(insert(heads).values(**head, signature=self.signing.sign(_head_bytes(head))))
                connection.execute(delete(facts).where(facts.c.name == _FRONTIER))
                connection.execute(insert(facts).values(name=_FRONTIER, value=frontier.to_bytes()))
        return frontier.size

    def _grown(self, connection: Connection) -> tuple[Frontier, bytes]:
        """Return the tree over all rows and the end of the chain."""
        frontier, chain = self._at_last_head(connection)
        for *_, chain in _rows(connection, after=frontier.size):
            frontier.add(chain)
        return frontier, chain

    def _at_last_head(self, connection: Connection) -> tuple[Frontier, bytes]:
        """Return the tree as it was kept with the last head, if that is what the head says, else an empty one."""
        head = connection.execute(select(heads).order_by(heads.c.size.desc()).limit(1)).first()
        kept = connection.execute(select(facts.c.value).where(facts.c.name == _FRONTIER)).scalar()
        if head is not None and kept is not None:
            frontier, chain = Frontier.from_bytes(bytes(kept)), bytes(head.chain)
            end = connection.execute(select(audit.c.hash).where(audit.c.number == head.size)).scalar()
            same = frontier.size == head.size and end is not None and bytes(end) == chain
            if same and not _head_fault(head._asdict(), frontier, chain, self.public):
                return frontier, chain
        return Frontier(), START

    def close(self) -> None:
        """Let go of the connection that rows are added by."""
        self._quick.dispose()

    def last(self, count: int) -> list[Row]:
        """Return the last rows, newest first."""
        with reading(self.engine) as connection:
            query = _COLUMNS.order_by(audit.c.number.desc()).limit(count)
            return [Row(*row) for row in connection.execute(query)]

    def sign_hourly(self) -> bool:
        """Sign a head if the last one is an hour old or more, and return whether that was so."""
        with reading(self.engine) as connection:
            last = connection.execute(select(heads.c.time).order_by(heads.c.size.desc()).limit(1)).scalar()
        if last is not None and time.time() - last < HEAD_SECONDS:
            return False
        return bool(self.sign_head())

    def verify(self, public: Ed25519PublicKey | None = None) -> Verdict:
        """Check every row and every head. `public`: a key that was kept elsewhere; default: the store's own."""
        public = public or self.public
        with reading(self.engine) as connection:
            pending = {head.size: head._asdict() for head in connection.execute(select(heads).order_by(heads.c.size))}
            signed = max(pending, default=0)
            frontier, before, number, earlier = Frontier(), START, 0, float("-inf")
            for row in _rows(connection):
                number += 1
                if fault := _row_fault(row, number, before, earlier):
                    return Verdict(number, signed, number, fault)
                _, earlier, _, _, before = row
                frontier.add(before)
                if number in pending and (fault := _head_fault(pending.pop(number), frontier, before, public)):
                    return Verdict(number, signed, number, fault)
        if pending:
            size = min(pending)
            return Verdict(number, signed, number + 1, f"rows are missing: a head was signed over {size}")
        return Verdict(number, signed)

    def prove(self, number: int) -> dict[str, Any]:
        """Return a row with its proof that it is in the log behind a signed head, which `verify_proof` checks alone.

        Raises DataError for a row that there is not, or that no head covers yet.
        """
        with reading(self.engine) as connection:
            head = connection.execute(
                select(heads).where(heads.c.size >= number).order_by(heads.c.size).limit(1)
            ).first()
            if number < 1 or head is None:
                raise DataError(f"row {number} is not in the log, or no head covers it yet", "recommender audit sign")
            row = Row(*connection.execute(_COLUMNS.where(audit.c.number == number)).one())
            leaves = [bytes(each[-1]) for each in _rows(connection, most=head.size)]
        return {
            "row": {"number": row.number, "time": row.time, "kind": row.kind, "body": row.body},
            "before": (leaves[number - 2] if number > 1 else START).hex(),
            "path": [step.hex() for step in inclusion_path(leaves, number - 1)],
            "head": _head_json(head._asdict()),
        }


def verify_proof(proof: Mapping[str, Any], public: Ed25519PublicKey) -> None:
    """Check a proof without the log. Raises DataError that says what is wrong with it."""
    try:
        row, head = proof["row"], proof["head"]
        before, path = _bytes(proof["before"]), [_bytes(step) for step in proof["path"]]
        signed = {"size": head["size"], "time": head["time"]} | {name: _bytes(head[name]) for name in ("root", "chain")}
        signature = _bytes(head["signature"])
        leaf = row_hash(before, row["number"], row["time"], row["kind"], row["body"])
        root = root_by_path(leaf, row["number"] - 1, head["size"], path)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"this is no proof of a row ({error})", "make one: recommender audit prove ROW") from None
    try:
        public.verify(signature, _head_bytes(signed))
    except InvalidSignature:
        raise DataError("the head of the proof was not signed with this key", "give the key of that store") from None
    if root != signed["root"]:
        raise DataError("the row is not in the log that was signed", "the row or the proof was changed")


def _bytes(text: str) -> bytes:
    """Return the bytes of hex digits. Raises ValueError for upper case and spaces too: a changed proof is no proof."""
    value = bytes.fromhex(text)
    if value.hex() != text:
        raise ValueError("hex digits of another form")
    return value


def _rows(connection: Connection, after: int = 0, most: int | None = None) -> Iterator[Sequence[Any]]:
    """Yield the rows in order, some thousands read at a time, as plain fields: there may be millions."""
    query = _COLUMNS.where(audit.c.number > after).order_by(audit.c.number)
    query = query if most is None else query.where(audit.c.number <= most)
    for part in connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).partitions():
        yield from part


def _row_fault(row: Sequence[Any], expected: int, before: bytes, earlier: float) -> str:
    number, when, kind, body, hashed = row
    if number != expected:
        return f"row {expected} is missing"
    if hashed != row_hash(before, number, when, kind, body):
        return f"row {number} is not as it was written"
    return "" if when > earlier else f"row {number} is older than the row before it"


def _head_fault(head: Mapping[str, Any], frontier: Frontier, chain: bytes, public: Ed25519PublicKey) -> str:
    size = head["size"]
    try:
        public.verify(bytes(head["signature"]), _head_bytes(head))
    except InvalidSignature:
        return f"the head over {size} rows was not signed with this key, or changed"
    if bytes(head["root"]) != frontier.root() or bytes(head["chain"]) != chain:
        return f"the {size} rows are not those that were signed"
    return ""


def _head_bytes(head: Mapping[str, Any]) -> bytes:
    told = _head_json(dict(head) | {"signature": b""})
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def _head_json(head: Mapping[str, Any]) -> dict[str, Any]:
    binary = {name: bytes(head[name]).hex() for name in ("root", "chain", "signature")}
    return {"size": int(head["size"]), "time": head["time"], **binary}
