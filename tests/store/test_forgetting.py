"""Forgetting: nothing of a person is left in the store or in its files, with a receipt, or all is as it was."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recommender.adapters.key_files import read_public_key
from recommender.errors import CheckpointError, DataError
from recommender.store.consent import PURPOSES
from recommender.store.database import reading
from recommender.store.events import Event
from recommender.store.forgetting import (
    AlreadyForgottenError,
    UnknownPersonError,
    forget,
    model_facts,
    receipt_of,
)
from recommender.store.impressions import Impression
from recommender.store.opinions import Feedback
from recommender.store.personal_export import export_user
from recommender.store.receipts import verify_receipt
from recommender.store.training_table import write_training_table

ANN, BOB = "ann.very.personal@example.com", "bob"


@pytest.fixture
def full(store):
    """Two people of whom everything is kept that can be."""
    for user in (ANN, BOB):
        store.events.add([Event(id=f"{user[:3]}{n}", user=user, item=f"secret-{n}", kind="like") for n in range(3)])
        store.feedback.add(Feedback(item_id="9", opinion="not for me", user=user))
        store.impressions.add(user, Impression(request_id=f"list-{user[:3]}", items=("secret-0",), probabilities=(1,)))
        store.consents.set(user, {"share": True})
        with reading(store.engine) as connection:
            tag = store.people.tag(connection, store.people.pseudonym(user))
        store.audit.add("list", {"person": tag, "items": None})
    return store


def batch_of(store, path):
    lines = [{"custom_id": name, "response": name * 3} for name in ("a1", "b1", "a2")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"custom_id": "b2", "cut o')
    store.holdings.add(ANN, "batch", path, ("a1",))
    store.holdings.add(ANN, "batch", path, ("a2",))
    store.holdings.add(BOB, "batch", path, ("b1", "b2"))


def test_nothing_is_left_of_the_forgotten_and_all_of_the_others(full, open_store, where, tmp_path):
    trace = tmp_path / f"trace-of-{ANN}.json"
    trace.write_text(f'{{"user": "{ANN}"}}')
    full.holdings.add(ANN, "trace", trace)
    full.holdings.add(ANN, "trace", tmp_path / "gone.json")
    batch_of(full, tmp_path / "answers.jsonl")
    for name in ("table.csv", "table.parquet"):
        assert write_training_table(full, tmp_path / name) == {"people": 2, "rows": 6}
    export_user(full, ANN, tmp_path / "ann.json")
    ann, bob = full.people.pseudonym(ANN), full.people.pseudonym(BOB)

    receipt = forget(full, ANN)

    statement = verify_receipt(receipt, full.audit.public)
    assert statement["erased"] == {"events": 3, "feedback": 1, "impressions": 1, "consents": 1, "holdings": 7}
    assert statement["files"] == {
        "batch": {"rewritten": 1},
        "export": {"removed": 1},
        "table": {"rewritten": 2},
        "trace": {"missing": 1, "removed": 1},
    }
    assert statement["key_destroyed"] and statement["person"] == ann
    assert full.events.of(ANN) == full.feedback.of(ANN) == full.impressions.of(
        ANN
    ) == [] and full.people.forgotten() == {ann}
    assert (
        len(full.events.of(BOB)) == 3
        and len(full.feedback.of(BOB)) == len(full.impressions.of(BOB)) == 1
        and full.consents.of(BOB)["share"]
    )
    assert (tmp_path / "answers.jsonl").read_text().splitlines() == [
        '{"custom_id": "b1", "response": "b1b1b1"}',
        '{"custom_id": "b2", "cut o',
    ]
    with (tmp_path / "table.csv").open() as file:
        assert {row["user_id"] for row in csv.DictReader(file)} == {bob}
    assert set(pq.read_table(tmp_path / "table.parquet").column("user_id").to_pylist()) == {bob}
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for path, content in left.items():
        assert ANN.encode() not in content, path
        assert ann.encode() not in content or path == where, "the list of the forgotten is in the store alone"
    assert full.audit.verify().ok and open_store().audit.verify().ok


def test_answers_in_parquet_and_those_begun_lose_the_forgotten(full, tmp_path):
    answers, begun = tmp_path / "answers.parquet", tmp_path / ".later.jsonl.partial"
    pq.write_table(pa.table({"custom_id": ["a", None, "b"], "items": ["x", "y", "z"]}), answers)
    begun.write_text('{"custom_id": "a"}\n')
    full.holdings.add_batch(answers, {ANN: ["a"], BOB: ["b"]})
    full.holdings.add_batch(tmp_path / "later.jsonl", {ANN: ["a"]})
    assert forget(full, ANN)["statement"]["files"] == {"batch": {"removed": 1, "rewritten": 1}}
    assert pq.read_table(answers).column("custom_id").to_pylist() == [None, "b"] and not begun.exists()
    with pytest.raises(DataError, match="the request 'q' names a person who was forgotten"):
        full.holdings.add_batch(answers, {BOB: ["p"], ANN: ["q"]})
    assert forget(full, BOB)["statement"]["erased"]["holdings"] == 1, "all of a batch is registered or nothing"


def test_a_receipt_is_given_again_and_any_change_shows(full, tmp_path):
    receipt = forget(full, ANN, [{"checkpoint": "m", "manifest": "00"}])
    assert receipt["statement"]["models"] == [{"checkpoint": "m", "manifest": "00", "state": "not yet updated"}]
    assert receipt_of(full, ANN) == receipt and full.audit.last(1)[0].number == receipt["audit_row"]
    (tmp_path / "public.pem").write_text(full.public_key)
    public = read_public_key(tmp_path / "public.pem")
    text = json.dumps(receipt)
    assert verify_receipt(json.loads(text), public) == receipt["statement"]
    for place in range(len(text)):
        changed = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
        try:
            content = json.loads(changed)
        except ValueError:
            continue
        with pytest.raises(DataError, match=r"no receipt|not signed with this key"):
            verify_receipt(content, public)
    with pytest.raises(DataError, match="not signed with this key"):
        verify_receipt(receipt, Ed25519PrivateKey.generate().public_key())
    with pytest.raises(DataError, match="was not forgotten here"):
        receipt_of(full, BOB)


def test_unknown_twice_and_at_the_same_time_is_one_clear_line(full, open_store):
    with pytest.raises(UnknownPersonError, match="nothing is kept of this person"):
        forget(full, "nobody")
    assert full.people.forgotten() == frozenset()
    assert forget(full, "nobody", unknown_too=True)["statement"]["key_destroyed"] is False
    stores = [open_store() for _ in range(4)]

    def attempt(store):
        try:
            return forget(store, ANN)["audit_row"]
        except AlreadyForgottenError as error:
            return error.message

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, stores))
    rows = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(rows) == 1 and all("forgotten already" in o for o in outcomes if not isinstance(o, int))
    with pytest.raises(AlreadyForgottenError):
        forget(full, ANN)
    assert full.audit.verify().ok


def test_a_file_that_nobody_can_be_taken_out_of_stops_it_before_anything_changed(full, tmp_path):
    trace, answers = tmp_path / "trace.json", tmp_path / "answers.txt"
    trace.write_text("{}")
    answers.write_text("not of our making")
    full.holdings.add(ANN, "trace", trace)
    full.holdings.add(ANN, "batch", answers, ("a",))
    with pytest.raises(DataError, match="cannot be taken out of this file"):
        forget(full, ANN)
    assert trace.exists() and len(full.events.of(ANN)) == 3
    answers.unlink()
    assert forget(full, ANN)["statement"]["files"] == {"batch": {"missing": 1}, "trace": {"removed": 1}}


def test_who_comes_back_is_kept_again_and_can_be_forgotten_again(full):
    first = forget(full, ANN)
    full.consents.set(ANN, {"recommend": True})
    full.events.add([Event(id="new", user=ANN, item="1", kind="view")])
    second = forget(full, ANN)
    assert second["audit_row"] > first["audit_row"] and second["statement"]["erased"]["events"] == 1
    assert receipt_of(full, ANN) == second


def test_the_table_for_training_has_who_agrees_and_what_was_chosen(full, tmp_path):
    full.consents.set(BOB, {"train": False})
    full.events.add([Event(id="x", user=ANN, item="shown only", kind="shown", time=5.0)])
    assert write_training_table(full, tmp_path / "t.csv") == {"people": 1, "rows": 3}
    assert write_training_table(full, tmp_path / "t.csv", ("shown",)) == {"people": 1, "rows": 1}
    assert (tmp_path / "t.csv").read_text() == (
        f"user_id,item_id,timestamp\n{full.people.pseudonym(ANN)},shown only,5.000\n"
    )
    full.consents.set(ANN, dict.fromkeys(PURPOSES, False))
    assert write_training_table(full, tmp_path / "none.parquet") == {"people": 0, "rows": 0}
    assert pq.read_table(tmp_path / "none.parquet").column_names == ["user_id", "item_id", "timestamp"]
    for name, kinds, match in (("t.txt", ("view",), "ends in"), ("t.csv", ("viewed",), "unknown kind")):
        with pytest.raises(DataError, match=match):
            write_training_table(full, tmp_path / name, kinds)


def test_a_person_gets_all_that_is_kept_of_them(full, tmp_path):
    path = tmp_path / "ann.json"
    assert export_user(full, ANN, path) == {
        "consent_given": 1,
        "events": 3,
        "feedback": 1,
        "lists": 1,
        "files": 1,
        "audit": 2,
    }
    told = json.loads(path.read_text())
    assert [event["item"] for event in told["events"]] == ["secret-0", "secret-1", "secret-2"]
    assert told["feedback"][0]["opinion"] == "not for me" and told["consent"]["share"] is True
    assert [row["kind"] for row in told["audit"]] == ["list", "export"]
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(DataError, match="nothing is kept"):
        export_user(full, "nobody", tmp_path / "nobody.json")
    assert not (tmp_path / "nobody.json").exists()


def test_a_receipt_names_checkpoints_that_are_there():
    assert len(model_facts("movielens-100k")["manifest"]) == 64
    with pytest.raises(CheckpointError):
        model_facts("no-such-model")


@pytest.mark.parametrize(("purpose", "who"), [("train", {"ann", "bob"}), ("share", {"bob", "cleo"})])
def test_a_table_has_who_agrees_to_its_purpose_and_nobody_else(store, tmp_path, purpose, who):
    said = {"ann": {"train": True, "share": False}, "bob": {"train": True, "share": True}}
    said |= {"cleo": {"train": False, "share": True}, "dan": {"train": False, "share": False}}
    for user, agreed in said.items():
        store.consents.set(user, {"recommend": True, "explain": True} | agreed)
        store.events.add([Event(id=user, user=user, item="7", kind="like")])
    file = tmp_path / "table.csv"
    assert write_training_table(store, file, purpose=purpose)["people"] == 2
    rows = list(csv.reader(file.read_text().splitlines()))[1:]
    assert {row[0] for row in rows} == {store.people.pseudonym(user) for user in who}
    assert json.loads(store.audit.last(1)[0].body)["purpose"] == purpose
    forget(store, "bob")
    assert store.people.pseudonym("bob") not in file.read_text()
