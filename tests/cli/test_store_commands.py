"""Commands over a store: keys, backups, the audit log, events, consent, exports, forgetting, the data map."""

from __future__ import annotations

import json
import random
import sqlite3

import pyrage
import pytest

from recommender.cli.store_options import public_key, read_as_written
from recommender.errors import DataError
from recommender.store.audit import verify_proof
from recommender.store.receipts import verify_receipt
from tests.cli.conftest import refused

EVENTS = (
    '{"id": "e1", "user": "ann", "item": "50", "kind": "like", "time": 1700000000}\n\n'
    '{"id": "e2", "user": "ann", "item": 181, "kind": "rate", "value": 4}\n'
    '{"id": "e3", "user": "bob", "item": "50", "kind": "shown"}\n'
)


@pytest.fixture
def at(run, tmp_path, monkeypatch):
    """Run a command on the store of this test; `at.folder`: where it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECOMMENDER_BACKUP_PASSPHRASE", raising=False)
    monkeypatch.delenv("RECOMMENDER_MASTER_KEY", raising=False)
    monkeypatch.setenv("RECOMMENDER_STORE", "store.db")
    assert run("keys", "master", "m.keys", "--name", "first")[0] == 0

    def call(*arguments):
        return run(*arguments, "--master-key", "m.keys")

    return call


@pytest.fixture
def filled(at, tmp_path):
    (tmp_path / "events.jsonl").write_text(EVENTS)
    code, out, _ = at("events", "import", "events.jsonl", "--json")
    assert code == 0 and json.loads(out) == {"kept": 3, "known": 0, "refused": 0}
    return at


def answer(result):
    code, out, err = result
    assert code == 0, err
    return json.loads(out)


def test_keys_are_shown_once_listed_and_revoked(at, tmp_path):
    code, out, err = at("keys", "add", "shop", "--scope", "recommend,feedback", "--rate", 60, "--days", 90)
    token = out.strip()
    assert code == 0 and token.startswith("rk_") and "not shown again" in err
    (row,) = answer(at("keys", "list", "--json"))
    assert row["scopes"] == "recommend feedback" and row["rate"] == 60 and row["state"] == "valid"
    assert token.split("_")[2] not in at("keys", "list")[1] + (tmp_path / "store.db").read_bytes().decode("latin1")
    assert at("keys", "revoke", "shop")[0] == 0
    assert answer(at("keys", "list", "--json"))[0]["state"] == "revoked"
    kinds = [row["body"]["done"] for row in answer(at("audit", "list", "--json"))]
    assert kinds == ["revoked", "made"]
    refused(at("keys", "add", "shop", "--scope", "recomend"), "unknown scope", "recommend")
    refused(at("keys", "revoke", "nobody"), "there is no key")


def test_master_keys_are_private_and_not_made_twice(at, run, tmp_path):
    assert (tmp_path / "m.keys").stat().st_mode & 0o077 == 0
    refused(run("keys", "master", "m.keys", "--name", "first"), "has a key first already")
    assert run("keys", "master", "m.keys", "--name", "second")[0] == 0
    names = [line.partition(":")[0] for line in (tmp_path / "m.keys").read_text().splitlines()]
    assert names == ["second", "first"]


def test_a_store_that_is_not_there_or_not_named_is_one_line(at, run, monkeypatch, tmp_path):
    refused(at("audit", "verify"), "there is no store")
    refused(run("keys", "add", "x", "--scope", "admin"), "needs a master key")
    assert not (tmp_path / "store.db").exists()
    monkeypatch.delenv("RECOMMENDER_STORE")
    refused(at("store", "status"), "which store?", "serving.store")
    (tmp_path / "config.yaml").write_text("serving:\n  store: other.db\n  master_key: m.keys\n")
    assert run("keys", "add", "x", "--scope", "admin", "--config", "config.yaml")[0] == 0
    assert (tmp_path / "other.db").is_file()


def test_events_come_again_and_a_wrong_line_keeps_nothing(filled, tmp_path):
    assert answer(filled("events", "import", "events.jsonl", "--json")) == {"kept": 0, "known": 3, "refused": 0}
    assert [row["item"] for row in answer(filled("events", "list", "--user", "ann", "--json"))] == ["50", "181"]
    assert "2023-11-14" in filled("events", "list", "--user", "ann")[1]
    assert "no events" in filled("events", "list", "--user", "carl")[1]
    for line, said in (
        ('{"id": "e9", "user": "ann"}', "line 2 is no event: item"),
        ("{", "line 2 is no JSON"),
        ('{"id": "e9", "user": "ann", "item": "1", "kind": "liked"}', "kind"),
    ):
        (tmp_path / "more.jsonl").write_text(EVENTS.replace("e1", "e7").splitlines()[0] + f"\n{line}\n")
        refused(filled("events", "import", "more.jsonl"), said)
    assert len(answer(filled("events", "list", "--user", "ann", "--json"))) == 2
    told = answer(filled("events", "export", "--output", "t.csv", "--json"))
    assert (told["people"], told["rows"]) == (1, 2)
    refused(filled("events", "export", "--output", "t.xls"), "ends in .csv or .parquet")


def test_consent_is_set_by_purpose(filled):
    asked = ("--user", "ann", "--json")
    assert answer(filled("consent", "show", *asked))["train"] is True
    told = answer(filled("consent", "set", *asked, "--purpose", "train", "--purpose", "explain", "--no"))
    assert told == {"recommend": True, "explain": False, "train": False, "share": False}
    assert answer(filled("consent", "show", *asked)) == told
    assert answer(filled("consent", "set", *asked, "--purpose", "train", "--yes"))["train"] is True
    refused(filled("consent", "set", "--user", "ann", "--purpose", "trian", "--no"), "unknown purpose", "train")


def test_the_log_is_verified_proved_and_a_change_named(filled, run, tmp_path):
    assert filled("keys", "add", "shop", "--scope", "admin")[0] == 0
    assert "1 of them signed" in filled("audit", "verify")[1]
    (tmp_path / "public.pem").write_text(filled("audit", "key")[1])
    assert filled("audit", "prove", 1, "--output", "proof.json")[0] == 0
    assert "row 1" in run("audit", "check", "proof.json", "--key", "public.pem")[1]
    proof = (tmp_path / "proof.json").read_text()
    (tmp_path / "proof.json").write_text(proof.replace("shop", "shed"))
    refused(run("audit", "check", "proof.json", "--key", "public.pem"), "not in the log that was signed")
    refused(run("audit", "check", "public.pem", "--key", "public.pem"), "public.pem")
    refused(run("audit", "check", "proof.json", "--key", "proof.json"), "holds no public key")
    refused(filled("audit", "prove", 9, "--output", "x.json"), "no head covers it")
    assert answer(filled("audit", "sign", "--json")) == {"signed_rows": 1}
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE audit SET body = replace(body, 'shop', 'shed')")
    connection.close()
    code, out, _ = filled("audit", "verify", "--key", "public.pem", "--json")
    assert code == 1 and json.loads(out)["broken"] == 1
    code, out, _ = filled("audit", "verify")
    assert code == 1 and "broken at row 1: row 1 is not as it was written" in out


def test_backups_need_a_secret_and_come_back(filled, run, tmp_path, monkeypatch):
    refused(filled("store", "backup", "b.age"), "needs a passphrase", "RECOMMENDER_BACKUP_PASSPHRASE")
    (tmp_path / "secret").write_text("long and secret\n")
    assert answer(filled("store", "backup", "b.age", "--passphrase-file", "secret", "--json"))["events"] == 3
    monkeypatch.setenv("RECOMMENDER_BACKUP_PASSPHRASE", "long and secret")
    monkeypatch.setenv("RECOMMENDER_STORE", "moved.db")
    assert "3 events" in filled("store", "restore", "b.age")[1]
    assert len(answer(filled("events", "list", "--user", "ann", "--json"))) == 2
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"# made by age-keygen\n{identity}\n")
    assert filled("store", "backup", "c.age", "--recipient", str(identity.to_public()))[0] == 0
    assert filled("store", "restore", "c.age", "--identity-file", "identity")[0] == 0
    refused(filled("store", "restore", "c.age", "--identity-file", "secret"), "holds no age identity")
    (tmp_path / "other").write_text(str(pyrage.x25519.Identity.generate()))
    refused(filled("store", "restore", "c.age", "--identity-file", "other"), "cannot be opened", "is as it was")
    refused(filled("store", "backup", "d.age", "--recipient", "x"), "is no age recipient")
    refused(filled("store", "backup", "d.age", "--recipient", "x", "--passphrase-file", "secret"), "one of the two")


def test_rotation_sweep_and_status(filled, run, tmp_path):
    assert run("keys", "master", "m.keys", "--name", "second")[0] == 0
    assert answer(filled("store", "rotate", "--json")) == {"people": 2, "master_key": "second"}
    (tmp_path / "m.keys").write_text((tmp_path / "m.keys").read_text().splitlines()[0])
    status = answer(filled("store", "status", "--json"))
    assert status["people_by_master_key"] == {"second": 2} and status["rows"]["events"] == 3 and status["bytes"] > 0
    assert "events" in filled("store", "status")[1]
    (tmp_path / "config.yaml").write_text("serving: {event_days: null, impression_days: null}\n")
    assert "nothing is to be swept" in filled("store", "sweep", "--config", "config.yaml")[1]
    assert answer(filled("store", "sweep", "--json")) == {"events": 1, "impressions": 0}, "the one of 2023"


def test_a_person_is_exported_and_forgotten_with_a_receipt(filled, run, tmp_path):
    (tmp_path / "public.pem").write_text(filled("audit", "key")[1])
    told = answer(filled("export-user", "ann", "--output", "ann.json", "--json"))
    assert told["events"] == 2 and json.loads((tmp_path / "ann.json").read_text())["user"] == "ann"
    code, out, _ = filled("forget", "ann", "--output", "receipt.json", "--model", "movielens-100k")
    assert code == 0 and "2 events" in out and not (tmp_path / "ann.json").exists()
    statement = answer(run("forget", "check", "receipt.json", "--key", "public.pem", "--json"))["statement"]
    assert statement["models"][0]["checkpoint"] == "movielens-100k"
    assert statement["models"][0]["state"] == "not yet updated"
    assert "signed and unchanged" in run("forget", "check", "receipt.json", "--key", "public.pem")[1]
    assert answer(filled("forget", "receipt", "ann")) == json.loads((tmp_path / "receipt.json").read_text())
    text = (tmp_path / "receipt.json").read_text()
    (tmp_path / "receipt.json").write_text(text.replace('"events": 2', '"events": 3'))
    refused(run("forget", "check", "receipt.json", "--key", "public.pem"), "not signed with this key, or changed")
    refused(filled("forget", "ann"), "forgotten already", "forget receipt")
    refused(filled("forget", "zed"), "nothing is kept of this person", "--unknown-too")
    refused(filled("export-user", "zed", "--output", "z.json"), "nothing is kept")
    refused(filled("forget", "bob", "--model", "no-such"), "no-such")
    assert answer(filled("forget", "user", "zed", "--unknown-too"))["statement"]["erased"]["events"] == 0
    assert answer(filled("audit", "verify", "--json"))["ok"]


def test_the_data_map_tells_of_tables_and_files(run, tmp_path):
    places = answer(run("data-map", "--json"))
    assert {"events", "audit", "traces", "checkpoint"} <= {place["name"] for place in places}
    (tmp_path / "config.yaml").write_text("serving: {event_days: 30}\n")
    out = run("data-map", "--config", tmp_path / "config.yaml")[1]
    assert "serving.event_days: 30 days" in out and "wrapped_key" in out


def test_traces_and_answers_that_a_store_is_told_of_lose_the_forgotten(filled, run, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("RECOMMENDER_MASTER_KEY", (tmp_path / "m.keys").read_text())
    asked = (trained, "--history", "103,107", "-q", "--user", "ann", "--trace")
    assert run("recommend", *asked, "list.json", "--k", 2)[0] == 0
    assert run("explain", *asked, "one.json", "--item", "103")[0] == 0
    requests = [{"custom_id": u, "user": u, "history": ["103"], "k": 1, "explain": False} for u in ("ann", "bob")]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests))
    assert run("batch", trained, "--input", "in.jsonl", "--output", "out.jsonl", "-q")[0] == 0
    statement = answer(run("forget", "ann"))["statement"]
    assert statement["files"] == {"batch": {"rewritten": 1}, "trace": {"removed": 2}}
    assert not (tmp_path / "list.json").exists() and not (tmp_path / "one.json").exists()
    assert [json.loads(line)["custom_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ["bob"]
    refused(run("recommend", *asked, "again.json", "--k", 2), "was forgotten")
    refused(
        run("batch", trained, "--input", "in.jsonl", "--output", "more.jsonl", "-q"), "'ann' names a person who was"
    )
    assert not (tmp_path / "again.json").exists() and not (tmp_path / "more.jsonl").exists()


def test_any_changed_byte_of_a_receipt_or_a_proof_is_found(filled, run, tmp_path):
    (tmp_path / "public.pem").write_text(filled("audit", "key")[1])
    assert filled("forget", "ann", "--output", "receipt.json")[0] == 0
    assert filled("audit", "prove", 1, "--output", "proof.json")[0] == 0
    (tmp_path / "printed.json").write_text(filled("forget", "receipt", "ann")[1])
    chance = random.Random(23)
    public = public_key(tmp_path / "public.pem")
    checks = {"receipt.json": verify_receipt, "printed.json": verify_receipt, "proof.json": verify_proof}
    for (
        name,
        check,
    ) in checks.items():  # what `forget check` and `audit check` do, without starting them a thousand times
        file = tmp_path / name
        content = file.read_bytes()
        assert run("audit" if check is verify_proof else "forget", "check", name, "--key", "public.pem")[0] == 0
        for place in {*range(0, len(content), 9), *(chance.randrange(len(content)) for _ in range(40))}:
            for byte in {content[place] ^ 1 << chance.randrange(8), ord("\t"), ord(" ")} - {content[place]}:
                file.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
                with pytest.raises(DataError):
                    check(read_as_written(file, "receipt", ""), public)
        refused(run("audit" if check is verify_proof else "forget", "check", name, "--key", "public.pem"))
