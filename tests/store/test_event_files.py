"""Events from and to files of each kind: all of them, the first that is wrong by its place, and nobody who was forgotten."""

from __future__ import annotations

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.errors import DataError
from recommender.store.event_files import FIELDS, keep_events, read_events, write_events
from recommender.store.events import Event
from recommender.store.forgetting import forget

EVENTS = [
    Event(id="e1", user="ann", item="50", kind="like", time=10.0, request_id="r1", rank=3),
    Event(id="e2", user="ann", item="07", kind="rate", value=4.5, time=11.0),
    Event(id="e3", user="bob", item="Ä b", kind="hide", time=12.0),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_what_is_written_is_read_again_without_whom_was_forgotten(store, tmp_path, suffix):
    path = tmp_path / f"events{suffix}"
    keep_events(store.events, EVENTS)
    assert write_events(store, path) == {"people": 2, "events": 3}
    persons = {store.people.pseudonym(user): user for user in ("ann", "bob")}
    read = [event.model_copy(update={"user": persons[event.user]}) for event in read_events(path)]
    assert sorted(read, key=lambda event: event.id) == EVENTS
    assert path.stat().st_mode & 0o777 == 0o600
    forget(store, "ann")
    assert [event.id for event in read_events(path)] == ["e3"]


def test_an_id_is_kept_once_over_files_and_within_one(store, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("id,user,item,kind,time,rank\ne1,ann,1,like,5,\ne1,ann,2,like,6,2\ne2,ann,2,view,6,1\n")
    assert keep_events(store.events, read_events(path)) == {"kept": 2, "known": 0, "refused": 0}
    assert keep_events(store.events, read_events(path)) == {"kept": 0, "known": 2, "refused": 0}
    assert [(event.item, event.rank) for event in store.events.of("ann")] == [("1", None), ("2", 1)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("e.jsonl", '{"id": "e1", "user": "a", "item": "1", "kind": "like"}\n{"id"', "line 2 is no JSON"),
        ("e.jsonl", '{"id": "e1", "user": "a", "item": "1", "kind": "love"}\n', "line 1 is no event"),
        ("e.csv", "id,user,item\n1,a,1\n", "has no column kind"),
        ("e.csv", "id,user,item,kind,mood\n1,a,1,like,good\n", "has a column 'mood', which no event has"),
        ("e.csv", "id,user,item,kind,time\n1,a,1,like,soon\n", "line 2 is no event: time"),
        ("e.csv", "id,user,item,kind\n1,a,1\n", "another number of fields"),
        ("e.parquet", "no parquet", "is no table of events"),
    ],
)
def test_the_first_thing_that_is_wrong_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        read_events(path)


def test_a_row_of_parquet_is_named(tmp_path):
    rows = [event.model_dump(mode="json") for event in EVENTS]
    rows[1]["kind"] = "love"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="row 2 is no event: kind"):
        read_events(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="ends in .jsonl"):
        write_events(None, tmp_path / "events.txt")


def test_the_latest_are_read_without_the_others(store):
    store.events.add([Event(id=f"e{n}", user="ann", item=str(n), kind="view", time=float(n)) for n in range(50)])
    assert [event.item for event in store.events.recent("ann", 3)] == ["47", "48", "49"]
    assert store.events.recent("nobody", 3) == []


def test_two_thousand_a_second_are_kept(store):
    given = [Event(id=f"e{n}", user=f"u{n % 97}", item=str(n), kind="view", time=float(n)) for n in range(4000)]
    started = time.process_time()
    keep_events(store.events, given)
    assert time.process_time() - started < 2.0
    assert store.events.count() == 4000 and FIELDS[:4] == ("id", "user", "item", "kind")
    assert json.loads(store.events.of("u0")[0].model_dump_json())["user"] == "u0"


def test_events_of_several_callers_are_kept_in_one_step_and_each_is_told_of_theirs(store):
    store.consents.set("no", dict.fromkeys(("recommend", "explain", "train", "share"), False))
    one = [Event(id="a", user="ann", item="1", kind="like"), Event(id="b", user="no", item="1", kind="like")]
    other = [Event(id="a", user="ann", item="1", kind="like"), Event(id="c", user="bob", item="2", kind="like")]
    assert store.events.add_all([one, other]) == [{"a": "kept", "b": "refused"}, {"a": "known", "c": "kept"}]
    forget(store, "bob")
    assert store.events.add([Event(id="d", user="bob", item="2", kind="like")]) == {"d": "refused"}
    assert store.events.count() == 1
