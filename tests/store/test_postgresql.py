"""The main path of a store on PostgreSQL: the same SQL, the same promises. Skipped where no server can be started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyrage
import pytest
from sqlalchemy import insert, select

from recommender.errors import DataError
from recommender.store.database import StoreUnavailableError, open_database, reading, writing
from recommender.store.events import Event
from recommender.store.forgetting import forget, receipt_of
from recommender.store.master_keys import new_master_key
from recommender.store.opinions import Feedback
from recommender.store.personal_export import all_of
from recommender.store.store import Store, StoreOptions
from recommender.store.tables import events
from recommender.store.training_table import write_training_table


def binaries():
    """Return the folder of the newest server that is installed, None if none is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


@pytest.fixture(scope="module")
def server():
    """A server of its own in a temporary folder, reached by a socket there alone; it refuses to run as root."""
    pytest.importorskip("psycopg")
    folder = binaries()
    if folder is None:
        pytest.skip("no PostgreSQL server is installed")
    place = Path(tempfile.mkdtemp(prefix="pg-"))
    other: dict = {"cwd": place}
    if os.geteuid() == 0:
        try:
            shutil.chown(place, "postgres", "postgres")
        except LookupError:
            pytest.skip("root cannot start PostgreSQL, and there is no user postgres")
        other |= {"user": "postgres", "group": "postgres", "extra_groups": []}
    data, log = place / "data", place / "log"
    run = {"check": True, "capture_output": True, "timeout": 120, **other}
    subprocess.run([folder / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8"], **run)
    options = f"-c listen_addresses='' -c unix_socket_directories={place} -c fsync=off"
    subprocess.run(
        [folder / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=120, **other,
    )  # fmt: skip
    yield f"postgresql+psycopg://tester@/postgres?host={place}"
    subprocess.run([folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def where(server):
    """An empty store on that server."""
    engine = open_database(server)
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return server


def event(number, user="ann", **fields):
    return Event(id=f"e{number}", user=user, item=f"i{number}", kind="like", **fields)


def test_the_main_path(store, open_store, tmp_path, master):
    assert store.events.add([event(1), event(2, "bob"), event(1)]) == {"e1": "kept", "e2": "kept"}
    store.feedback.add(Feedback(item_id="9", opinion="not for me", user="ann"))
    store.consents.set("bob", {"train": False})
    _, token = store.keys.add("shop", ["recommend"], rate=5, days=1)
    other = open_store()
    assert other.keys.find(token).name == "shop" and other.feedback.refused_items("ann") == {"9"}
    assert write_training_table(other, tmp_path / "t.csv") == {"people": 1, "rows": 1}
    assert {row["kind"] for row in all_of(other, "ann")["files"]} == {"table"}

    identity = pyrage.x25519.Identity.generate()
    store.audit.sign_head()
    store.back_up(tmp_path / "backup", recipient=str(identity.to_public()))
    receipt = forget(store, "ann")
    assert receipt["statement"]["erased"] == {
        "events": 1,
        "feedback": 1,
        "impressions": 0,
        "consents": 0,
        "holdings": 1,
    }
    store.restore(tmp_path / "backup", identity=str(identity))
    back = open_store()
    assert back.events.of("ann") == [] and receipt_of(back, "ann") == receipt
    assert back.events.add([event(3, "bob"), event(4, "carl")]) == {"e3": "kept", "e4": "kept"}, "numbers go on"

    new_master_key(master, "second")
    rotated = open_store()
    assert rotated.rotate() == 2
    master.write_text(master.read_text().splitlines()[0] + "\n")
    last = open_store(event_days=1)
    assert last.sweep(now=1e12)["events"] == 3 and last.audit.verify().ok
    assert last.status()["database"] == "postgresql" and last.status()["revision"] != "none"
    assert last.audit.sign_head() == last.audit.verify().signed


def test_a_backup_of_many_parts_comes_back_whole_or_not_at_all(store, open_store, tmp_path):
    identity = pyrage.x25519.Identity.generate()
    rows = [{"event_id": f"r{n}", "person": "p", "time": float(n), "sealed": os.urandom(200)} for n in range(1200)]
    with writing(store.engine) as connection:
        connection.execute(insert(events), rows)
    store.consents.set("ann", {"train": True})
    store.back_up(tmp_path / "backup", recipient=str(identity.to_public()))
    store.consents.set("ann", {"train": False})
    assert store.events.add([event(1)]) == {"e1": "kept"}
    whole = (tmp_path / "backup").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1])
    with pytest.raises(DataError, match="cannot be opened as a backup"):
        store.restore(tmp_path / "cut", identity=str(identity))
    assert store.events.count() == 1201 and not store.consents.of("ann")["train"]
    assert store.restore(tmp_path / "backup", identity=str(identity))["events"] == 1200
    back = open_store()
    with reading(back.engine) as connection:
        kept = connection.execute(select(events.c.event_id, events.c.sealed).order_by(events.c.number)).all()
    assert [(name, bytes(sealed)) for name, sealed in kept] == [(row["event_id"], row["sealed"]) for row in rows]
    assert not back.consents.of("ann")["train"], "the later word"
    assert back.events.add([event(2)]) == {"e2": "kept"} and back.audit.verify().ok


def test_writers_wait_for_each_other(open_store):
    stores = [open_store() for _ in range(4)]

    def work(number):
        store = stores[number % 4]
        store.audit.add("list", {"number": number})
        return store.events.add([event(number % 30, f"u{number % 5}")])[f"e{number % 30}"]

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(work, range(120)))
    assert outcomes.count("kept") == 30 and outcomes.count("known") == 90
    verdict = stores[0].audit.verify()
    assert verdict.ok and verdict.rows == 120


def test_two_processes_make_one_store(where, master):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store.open(where, master, StoreOptions()), range(4)))
    assert len({store.public_key for store in stores}) == 1 == len({store.people.pseudonym("ann") for store in stores})
    for store in stores:
        store.let_go()


def test_a_server_that_is_gone_is_one_line(open_store, where):
    store = open_store()
    engine = open_database(where)
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'tester'"
        )
    assert store.events.add([event(1)]) == {"e1": "kept"}, "a lost connection is made anew"
    store.engine = open_database(where)
    with pytest.raises(StoreUnavailableError), writing(store.engine) as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    engine.dispose()
