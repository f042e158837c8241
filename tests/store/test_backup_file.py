"""The file of a backup: written and read in a stream, found out where it was cut or changed, format 1 still read."""

from __future__ import annotations

import base64
import errno
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from sqlalchemy import insert, select

from recommender.errors import DataError
from recommender.store.backup_encryption import write_encrypted
from recommender.store.database import open_database, reading, writing
from recommender.store.events import Event
from recommender.store.forgetting import forget
from recommender.store.tables import events, metadata

USER = "ann"


def event(number, user=USER):
    return Event(id=f"e{number}", user=user, item=str(number), kind="like")


def fill(engine, count):
    """Put events of nobody into a store, sealed with nothing: rows as they are in size."""
    rows = [
        {
            "event_id": f"of nobody {number}",
            "person": f"{number % 500:064x}",
            "time": float(number),
            "sealed": os.urandom(200),
        }
        for number in range(count)
    ]
    with writing(engine) as connection:
        connection.execute(insert(events), rows)


def content_of(engine):
    """Return all rows of all tables."""
    with reading(engine) as connection:
        return {name: sorted(map(tuple, connection.execute(select(t)))) for name, t in metadata.tables.items()}


def of_format_1(engine):
    """Return what a backup held until format 2: one object, bytes in base64."""
    with reading(engine) as connection:
        tables = {
            name: [
                {
                    key: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
                    for key, value in row._mapping.items()
                }
                for row in connection.execute(select(table))
            ]
            for name, table in metadata.tables.items()
        }
    return json.dumps({"format": 1, "tables": tables}).encode()


def a_backup_in_lines(path, means, *lines):
    recipient = pyrage.x25519.Recipient.from_str(means[0]["recipient"])
    path.write_bytes(pyrage.encrypt("".join(f"{json.dumps(line)}\n" for line in lines).encode(), [recipient]))


@pytest.mark.parametrize("by", ["recipient", pytest.param("passphrase", marks=pytest.mark.slow)])
def test_a_backup_of_format_1_is_read(store, open_store, tmp_path, means, by):
    store.events.add([event(1), event(2, "bob")])
    fill(store.engine, 700)
    store.audit.add("list", {"n": 1})
    store.audit.sign_head()
    content, counts = of_format_1(store.engine), store.counts()
    if by == "recipient":
        sealed = pyrage.encrypt(content, [pyrage.x25519.Recipient.from_str(means[0]["recipient"])])
    else:
        sealed = pyrage.passphrase.encrypt(content, "long and secret")
    (tmp_path / "backup").write_bytes(sealed)
    forget(store, "bob")
    store.events.add([event(900)])
    store.restore(tmp_path / "backup", **(means[1] if by == "recipient" else {"passphrase": "long and secret"}))
    back = open_store()
    assert [each.id for each in back.events.of(USER)] == ["e1"] and back.events.of("bob") == []
    assert back.events.count() == counts["events"] - 1 and back.audit.verify().ok
    assert back.audit.last(1)[0].kind == "restore" and back.audit.verify().rows > counts["audit"] + 1, "it goes on"


def test_a_backup_that_was_cut_or_changed_late_changes_nothing(store, tmp_path, means):
    """Its first rows are good, and on their way into the store before the fault is met."""
    fill(store.engine, 2000)
    store.back_up(tmp_path / "backup", **means[0])
    whole = (tmp_path / "backup").read_bytes()
    store.events.add([event(3000)])
    before = content_of(store.engine)
    chunk, size = 65536, len(whole)
    assert size > 8 * chunk
    cut = [whole[:at] for at in (0, 1, 100, chunk, 4 * chunk + 200, size - chunk, size - 17, size - 1)]
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (5 * chunk, size - chunk, size - 1)]
    for content in (*cut, *flipped, whole + b"x"):
        (tmp_path / "backup").write_bytes(content)
        with pytest.raises(DataError, match="cannot be opened as a backup"):
            store.restore(tmp_path / "backup", **means[1])
        assert content_of(store.engine) == before
    (tmp_path / "backup").write_bytes(whole)
    store.restore(tmp_path / "backup", **means[1])
    assert store.events.count() == 2000


def test_a_passphrase_seals_the_key_of_the_file(store, tmp_path, means, monkeypatch):
    once = functools.cache(pyrage.passphrase.decrypt)  # one header is read four times, each for seconds
    monkeypatch.setattr(pyrage.passphrase, "decrypt", once)
    fill(store.engine, 1000)
    store.back_up(tmp_path / "backup", passphrase="long and secret")
    whole, before = (tmp_path / "backup").read_bytes(), content_of(store.engine)["events"]
    end = whole.index(b"-----END")
    other = tmp_path / "other"
    store.back_up(other, **means[0])
    for content in (
        whole[: end // 2],
        whole[:80] + bytes([whole[80] ^ 1]) + whole[81:],
        whole[:-1],
        whole[: end + 33] + other.read_bytes(),
    ):
        (tmp_path / "backup").write_bytes(content)
        with pytest.raises(DataError, match="cannot be opened as a backup"):
            store.restore(tmp_path / "backup", passphrase="long and secret")
    (tmp_path / "backup").write_bytes(whole)
    with pytest.raises(DataError, match="cannot be opened as a backup"):
        store.restore(tmp_path / "backup", **means[1])
    assert content_of(store.engine)["events"] == before
    key, end, rest = whole.partition(b"-----END AGE ENCRYPTED FILE-----\n")
    identity = pyrage.x25519.Identity.from_str(pyrage.passphrase.decrypt(key + end, "long and secret").decode().strip())
    assert pyrage.decrypt(rest, [identity]).startswith(b'{"format": 2'), "with age alone it can be opened too"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([{"format": 3, "tables": []}], "of another version"),
        ([{"format": 2, "tables": ["later"], "log": {"number": 0, "hash": {"base64": ""}}}], "of another version"),
        ([{"format": 2, "tables": ["events"]}], "cannot be opened as a backup"),
        ([["no backup"]], "cannot be opened as a backup"),
        ([], "cannot be opened as a backup"),
    ],
)
def test_what_is_no_backup_of_ours_is_one_line(store, tmp_path, means, lines, told):
    store.events.add([event(1)])
    a_backup_in_lines(tmp_path / "backup", means, *lines)
    with pytest.raises(DataError, match=told):
        store.restore(tmp_path / "backup", **means[1])
    assert store.events.count() == 1


@pytest.mark.parametrize("last", [[], [{"counts": {"events": 2}}], ["no row"]])
def test_rows_that_are_not_those_that_were_counted_change_nothing(store, tmp_path, means, last):
    store.events.add([event(1)])
    first = {"format": 2, "tables": ["events"], "log": {"number": 0, "hash": {"base64": ""}}}
    row = {"number": 5, "event_id": "x", "person": "p", "time": 1.0, "sealed": {"base64": "AA=="}}
    a_backup_in_lines(tmp_path / "backup", means, first, {"table": "events", "rows": [row]}, *last)
    with pytest.raises(DataError, match="cannot be opened as a backup"):
        store.restore(tmp_path / "backup", **means[1])
    assert [each.id for each in store.events.of(USER)] == ["e1"]


def test_a_full_disk_leaves_the_backup_from_before(store, tmp_path, means):
    """The last bytes too: age's library passes over an error of theirs."""
    (tmp_path / "backup").write_text("from before")
    written = []

    class Full:
        def write(self, content):
            written.append(len(content))
            raise OSError(errno.ENOSPC, "No space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: Full())
        with pytest.raises(OSError, match="No space left"):
            write_encrypted(tmp_path / "backup", [b"a short one\n"], None, means[0]["recipient"])
    assert written and [path.name for path in tmp_path.iterdir() if "backup" in path.name] == ["backup"]
    assert (tmp_path / "backup").read_text() == "from before"


def test_an_error_of_the_store_is_told_as_it_is(tmp_path, means):
    def lines():
        yield b"first\n"
        raise DataError("the store is away")

    with pytest.raises(DataError, match="the store is away"):
        write_encrypted(tmp_path / "backup", lines(), None, means[0]["recipient"])
    assert list(tmp_path.iterdir()) == []


MEASURE = """
import sys
from pathlib import Path
from recommender.store.backup import back_up, restore
from recommender.store.database import open_database

def peak():
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(found.split()[1]) / 1024

store, file, other, recipient, identity = sys.argv[1:]
engine, empty = open_database(store), open_database(other)
begin = peak()
assert back_up(engine, Path(file), recipient=recipient)["events"] == 30_000
written = peak()
assert restore(empty, Path(file), identity=identity)["events"] == 30_000
print(written - begin, peak() - begin)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the peak of a process by /proc")
def test_memory_does_not_grow_with_the_store(tmp_path, means):
    """30,000 events are a file of 13 MB, which took more than 60 MB to write, and to read, as one object."""
    engine = open_database(tmp_path / "store.db")
    fill(engine, 30_000)
    engine.dispose()
    paths = [str(tmp_path / name) for name in ("store.db", "backup", "other.db")]
    arguments = [*paths, means[0]["recipient"], means[1]["identity"]]
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True)
    assert (tmp_path / "backup").stat().st_size > 12e6
    written, both = map(float, done.stdout.split())
    assert written < 25 and both < 25, "MB"
