"""A store over its life: what is kept outlives its process, nothing personal is readable, the forgotten stay forgotten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pyrage
import pytest

from recommender.errors import ConfigError, DataError
from recommender.store.backup import back_up, restore
from recommender.store.consent import PURPOSES
from recommender.store.database import StoreUnavailableError, writing
from recommender.store.events import Event
from recommender.store.master_keys import new_master_key
from recommender.store.opinions import Feedback
from recommender.store.people import ForgottenError
from recommender.store.store import Store

USER = "ann.very.personal@example.com"


def event(number, user=USER, **fields):
    return Event(id=f"e{number}", user=user, item=f"item-{number}", kind="like", **fields)


def helpful(user=USER, item="1"):
    facts, text = (("genres", "drama"),), "a very personal sentence"
    return Feedback(item_id=item, opinion="helpful", user=user, facts=facts, justification=text)


def test_what_one_process_keeps_another_knows(store, open_store):
    assert store.events.add([event(1), event(2, value=4.5, time=100.0, rank=3)]) == {"e1": "kept", "e2": "kept"}
    store.feedback.add(helpful())
    other = open_store()
    assert [each.id for each in other.events.of(USER)] == ["e2", "e1"], "in the order of their times"
    assert other.events.of(USER)[0] == event(2, value=4.5, time=100.0, rank=3)
    assert other.feedback.helpful_texts(USER) == ((("genres",), "a very personal sentence"),)
    assert other.events.of("bob") == [] and other.feedback.helpful_texts("bob") == ()


def test_an_event_that_comes_again_is_kept_once(store):
    store.events.add([event(1)])
    assert store.events.add([event(1), event(2), event(2)]) == {"e1": "known", "e2": "kept"}
    assert store.events.count() == 2


def test_no_file_of_the_store_names_a_person_or_what_they_did(store, where):
    store.events.add([event(7)])
    store.feedback.add(helpful())
    store.consents.set(USER, {"train": False})
    store.audit.add("list", {"person": store.people.pseudonym(USER)})
    files = [path.read_bytes() for path in where.parent.glob("store.db*")]
    assert len(files) >= 2
    for content in files:
        for text in (USER, "very.personal", "very personal", "item-7", "drama"):
            assert text.encode() not in content


def test_who_agrees_to_nothing_has_nothing_kept(store):
    store.consents.set(USER, dict.fromkeys(PURPOSES, False))
    assert store.events.add([event(1)]) == {"e1": "refused"} and store.events.count() == 0
    store.consents.set(USER, {"recommend": True})
    assert store.events.add([event(1)]) == {"e1": "kept"}
    assert [person for person, _ in store.events.for_training()] == []
    store.consents.set(USER, {"train": True})
    assert [[each.item for each in done] for _, done in store.events.for_training()] == [["item-1"]]


def test_the_default_is_what_counts_for_who_said_nothing(open_store):
    store = open_store(consent=dict.fromkeys(PURPOSES, False) | {"recommend": True})
    assert store.consents.of(USER) == {"recommend": True, "explain": False, "train": False, "share": False}
    store.consents.set(USER, {"explain": True})
    assert open_store().consents.of(USER)["explain"] and store.consents.allows(USER, "explain")


def test_a_destroyed_key_opens_nothing_anywhere_and_nothing_new_is_kept(store, open_store, where, master):
    store.events.add([event(1)])
    copy = where.with_name("copy.db")
    identity = pyrage.x25519.Identity.generate()
    back_up(store.engine, where.with_name("backup"), recipient=str(identity.to_public()))
    person = store.people.pseudonym(USER)
    with writing(store.engine) as connection:
        assert store.people.destroy(connection, person)
    assert store.people.forgotten() == {person}
    for each in (store, open_store()):
        with pytest.raises(ForgottenError):
            each.feedback.add(helpful())
        assert each.events.add([event(2)]) == {"e2": "refused"} and not any(each.consents.of(USER).values())
    restore(store.engine, where.with_name("backup"), identity=str(identity))
    assert open_store().events.of(USER) == [] and store.people.forgotten() == {person}
    assert not copy.exists()
    store.consents.set(USER, {"recommend": True})
    assert store.events.add([event(3)]) == {"e3": "kept"} and store.people.forgotten() == frozenset()


def test_a_master_key_rotates_and_the_old_one_can_go(store, master, where):
    store.events.add([event(number, f"user {number}") for number in range(7)])
    new_master_key(master, "second")
    rotating = Store.open(where, master)
    assert rotating.rotate() == 7 and rotating.rotate() == 0
    master.write_text(master.read_text().splitlines()[0] + "\n")
    left = Store.open(where, master)
    assert left.people.master.current == "second" and [each.item for each in left.events.of("user 3")] == ["item-3"]
    assert left.public_key == store.public_key and left.audit.verify().ok


def test_a_lost_or_another_master_key_is_one_line(store, tmp_path, where):
    new_master_key(tmp_path / "other", "first")
    new_master_key(tmp_path / "third", "third")
    for keys, match in (("other", "is another than that"), ("third", "sealed with the master key 'first'")):
        with pytest.raises(ConfigError, match=match):
            Store.open(where, tmp_path / keys)


def test_what_is_no_store_is_one_line(tmp_path, master):
    (tmp_path / "text").write_text("something else, and longer than sixteen bytes")
    for where, match in (
        (tmp_path / "text", "is no store"),
        (tmp_path / "no" / "folder.db", "no store can be there"),
        (tmp_path, "no store can be there"),
        ("mongodb://localhost/x", "cannot be opened"),
        ("postgresql+psycopg://nobody@127.0.0.1:9/none", "cannot be opened"),
    ):
        with pytest.raises(DataError, match=match):
            Store.open(where, master)
    assert (tmp_path / "text").read_text().startswith("something else")


def test_a_changed_byte_of_what_is_sealed_is_found(store):
    store.events.add([event(1)])
    with writing(store.engine) as connection:
        connection.exec_driver_sql("UPDATE events SET event_id = 'e2'")
    with pytest.raises(DataError, match="cannot be opened"):
        store.events.of(USER)


def test_what_is_too_old_is_swept_and_that_is_told(open_store):
    store = open_store(event_days=10, feedback_days=None)
    now = time.time()
    store.events.add([event(1, time=now - 11 * 86_400), event(2, time=now - 9 * 86_400)])
    store.feedback.add(helpful())
    assert store.sweep() == {"events": 1} and [each.id for each in store.events.of(USER)] == ["e2"]
    assert store.sweep() == {"events": 0} and store.counts()["audit"] == 1


def test_a_backup_is_whole_encrypted_and_comes_back(store, open_store, tmp_path, means):
    store.events.add([event(1)])
    store.feedback.add(helpful())
    store.audit.add("list", {"n": 1})
    store.audit.sign_head()
    counts = back_up(store.engine, tmp_path / "backup", **means[0])
    assert counts["events"] == counts["feedback"] == counts["audit"] == 1
    assert b"item-1" not in (tmp_path / "backup").read_bytes()
    store.events.add([event(2)])
    assert restore(store.engine, tmp_path / "backup", **means[1]) == counts
    back = open_store()
    assert [each.id for each in back.events.of(USER)] == ["e1"] and back.audit.verify().ok
    for passphrase, match in (("wrong", "cannot be opened as a backup"), ("", "cannot be opened as a backup")):
        with pytest.raises(DataError, match=match):
            restore(store.engine, tmp_path / "backup", passphrase=passphrase)
    with pytest.raises(DataError, match="always encrypted"):
        back_up(store.engine, tmp_path / "other")
    assert not (tmp_path / "other").exists() and back.events.count() == 1


def test_many_threads_lose_and_repeat_nothing(store):
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda n: store.events.add([event(n % 60, f"user {n % 7}")]), range(120)))
    assert store.events.count() == 60 and sum("kept" in of.values() for of in outcomes) == 60


def test_a_full_disk_is_one_line_and_nothing_is_half_kept(store, open_store):
    store.events.add([event(1)])
    with store.engine.connect() as connection:
        raw = connection.connection.driver_connection
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        store.events.add([event(number) for number in range(2, 2000)])
    other = open_store()
    assert other.events.count() == 1 and other.audit.verify().ok
    assert other.events.add([event(2)]) == {"e2": "kept"}


_WRITER = """
import sys
from recommender.store.store import Store
from recommender.store.events import Event
store = Store.open(sys.argv[1], sys.argv[2])
for number in range(int(sys.argv[3]), 10_000):
    store.events.add([Event(id=f"e{number}", user=f"u{number % 5}", item="i", kind="view")])
    store.audit.add("event", {"id": number})
    print(number, flush=True)
"""


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(where, master):
    acknowledged = 0
    for _ in range(3):
        command = [sys.executable, "-c", _WRITER, str(where), str(master), str(acknowledged)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged = int(line) + 1
                if acknowledged % 13 == 0:
                    break
            os.kill(process.pid, signal.SIGKILL)
        store = Store.open(where, master)
        numbers = sorted(int(each.id[1:]) for user in range(5) for each in store.events.of(f"u{user}"))
        assert numbers[:acknowledged] == list(range(acknowledged)) and len(numbers) <= acknowledged + 1
        assert store.audit.verify().ok and store.audit.verify().rows >= acknowledged
        store.engine.dispose()
