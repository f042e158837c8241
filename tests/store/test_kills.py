"""A process that is killed at any moment leaves everything done or nothing, and what it had to do can be done again."""

from __future__ import annotations

import os
import random
import signal
import time

import pyrage
import pytest

from recommender.store.events import Event
from recommender.store.forgetting import AlreadyForgottenError, UnknownPersonError, forget, receipt_of
from recommender.store.master_keys import new_master_key
from recommender.store.receipts import verify_receipt
from recommender.store.store import Store

KILLS = 12
PEOPLE = 30
IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture
def again(where, master):
    """Open the store anew, as the next process does."""
    stores = []

    def opened():
        stores.append(Store.open(where, master))
        return stores[-1]

    yield opened
    for store in stores:
        store.let_go()


@pytest.fixture
def made(again, tmp_path):
    store = again()
    for number in range(PEOPLE):
        user = f"u{number}"
        store.events.add([Event(id=f"{user}-{n}", user=user, item=str(n), kind="like") for n in range(3)])
        (tmp_path / f"trace-{user}").write_text(user)
        store.holdings.add(user, "trace", tmp_path / f"trace-{user}")
    store.audit.sign_head()
    store.let_go()


def killed(work, longest, seed):
    """Run `work` in a process of its own, and kill it somewhere within `longest` seconds; True if it came to its end."""
    process = os.fork()
    if not process:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    time.sleep(random.Random(seed).uniform(0, longest))
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFEXITED(status)


def duration(work):
    began = time.monotonic()
    process = os.fork()
    if not process:
        work()
        os._exit(0)
    os.waitpid(process, 0)
    return time.monotonic() - began


def test_forgetting(made, again, tmp_path, where, master):
    longest = duration(lambda: forget(Store.open(where, master), f"u{PEOPLE - 1}"))
    for number in range(KILLS):
        user = f"u{number}"
        killed(lambda user=user: forget(Store.open(where, master), user), longest, number)
        store = again()
        person = store.people.pseudonym(user)
        assert store.audit.verify().ok
        if person in store.people.forgotten():
            assert store.events.of(user) == []
        else:
            assert len(store.events.of(user)) == 3 and forget(store, user)["statement"]["erased"]["events"] == 3
        assert verify_receipt(receipt_of(store, user), store.audit.public)["person"] == person
        assert not (tmp_path / f"trace-{user}").exists()
        with pytest.raises((AlreadyForgottenError, UnknownPersonError)):
            forget(store, user)
        store.let_go()


def test_backing_up(made, again, tmp_path, where, master):
    backup = tmp_path / "backup"

    def work():
        Store.open(where, master).back_up(backup, recipient=str(IDENTITY.to_public()))

    longest = duration(work)
    backup.unlink()
    for number in range(KILLS):
        killed(work, longest, number)
        if backup.exists():
            other = Store.open(tmp_path / f"other-{number}.db", master)
            assert other.restore(backup, identity=str(IDENTITY))["events"] == PEOPLE * 3
            other.let_go()
            backup.unlink()
        assert again().audit.verify().ok


def test_restoring(made, again, tmp_path, where, master):
    store = again()
    store.back_up(tmp_path / "backup", recipient=str(IDENTITY.to_public()))
    store.let_go()
    longest = duration(lambda: Store.open(where, master).restore(tmp_path / "backup", identity=str(IDENTITY)))
    for number in range(KILLS):
        store = again()
        store.events.add([Event(id=f"later-{number}", user="late", item="1", kind="view")])
        kept = store.events.count()
        store.let_go()
        killed(lambda: Store.open(where, master).restore(tmp_path / "backup", identity=str(IDENTITY)), longest, number)
        store = again()
        assert store.events.count() in (kept, PEOPLE * 3) and store.audit.verify().ok
        assert [len(store.events.of(f"u{n}")) for n in range(PEOPLE)] == [3] * PEOPLE
        store.let_go()


def test_rotating(made, again, where, master):
    longest = 0.5
    for number in range(KILLS):
        new_master_key(master, f"next-{number}")
        killed(lambda: Store.open(where, master).rotate(), longest, number)
        store = again()
        assert [len(store.events.of(f"u{n}")) for n in range(PEOPLE)] == [3] * PEOPLE
        assert store.audit.verify().ok
        store.let_go()
    store = again()
    store.rotate()
    store.let_go()
    master.write_text(master.read_text().splitlines()[0] + "\n")
    assert [len(again().events.of(f"u{n}")) for n in range(PEOPLE)] == [3] * PEOPLE
