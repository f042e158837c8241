"""Backups: what was forgotten, withdrawn or revoked after one is not undone by it, and the log goes on."""

from __future__ import annotations

import pytest

from recommender.errors import ConfigError, DataError
from recommender.store.database import writing
from recommender.store.events import Event
from recommender.store.forgetting import forget, receipt_of
from recommender.store.master_keys import new_master_key
from recommender.store.opinions import Feedback
from recommender.store.store import Store

USER = "ann"


def event(number, user=USER):
    return Event(id=f"e{number}", user=user, item=str(number), kind="like")


def test_restoring_does_not_undo_what_was_said_since(store, open_store, tmp_path, means):
    store.events.add([event(1), event(2, "bob")])
    store.consents.set("bob", {"train": True, "share": True})
    _, token = store.keys.add("shop", ["recommend"])
    store.back_up(tmp_path / "backup", **means[0])

    receipt = forget(store, USER)
    store.consents.set("bob", {"train": False})
    store.keys.revoke("shop")
    store.events.add([event(3, "bob")])
    store.audit.sign_head()
    rows = store.audit.verify().rows
    store.restore(tmp_path / "backup", **means[1])

    back = open_store()
    assert back.events.of(USER) == [] and back.people.forgotten() == {back.people.pseudonym(USER)}
    assert [each.id for each in back.events.of("bob")] == ["e2"]
    assert back.consents.of("bob") == {"recommend": True, "explain": True, "train": False, "share": True}
    assert back.keys.find(token).revoked is not None
    verdict = back.audit.verify()
    assert verdict.ok and verdict.rows == rows + 1 and back.audit.last(1)[0].kind == "restore"
    assert receipt_of(back, USER) == receipt


def test_who_came_back_after_being_forgotten_does_not_get_their_past_back(store, open_store, tmp_path, means):
    store.events.add([event(1)])
    store.back_up(tmp_path / "backup", **means[0])
    forget(store, USER)
    store.consents.set(USER, {"recommend": True})
    store.restore(tmp_path / "backup", **means[1])
    back = open_store()
    assert back.events.of(USER) == [] and back.people.forgotten() == frozenset()
    assert back.events.add([event(4)]) == {"e4": "kept"} and [each.id for each in back.events.of(USER)] == ["e4"]


def test_who_agreed_again_since_the_backup_is_not_forgotten_by_it(store, open_store, tmp_path, means):
    store.events.add([event(1)])
    forget(store, USER)
    store.back_up(tmp_path / "backup", **means[0])
    store.consents.set(USER, {"recommend": True})
    store.restore(tmp_path / "backup", **means[1])
    back = open_store()
    assert back.consents.of(USER)["recommend"] and back.people.forgotten() == frozenset()
    forget(back, USER)
    back.back_up(tmp_path / "later", **means[0])
    back.restore(tmp_path / "later", **means[1])
    assert len(open_store().people.forgotten()) == 1


def test_a_backup_moves_to_another_machine_with_its_master_key_only(store, tmp_path, means, master):
    store.events.add([event(1)])
    store.audit.sign_head()
    counts = store.back_up(tmp_path / "backup", **means[0])
    new_master_key(tmp_path / "other.keys", "other")
    other = Store.open(tmp_path / "other.db", tmp_path / "other.keys")
    other.events.add([event(9, "carl")])
    with pytest.raises(ConfigError, match="sealed with the master key 'first'"):
        other.restore(tmp_path / "backup", **means[1])
    assert [each.id for each in other.events.of("carl")] == ["e9"] and other.audit.verify().ok
    moved = Store.open(tmp_path / "moved.db", master)
    assert moved.restore(tmp_path / "backup", **means[1]) == counts
    again = Store.open(tmp_path / "moved.db", master)
    assert [each.id for each in again.events.of(USER)] == ["e1"] and again.public_key == store.public_key
    assert again.audit.verify().ok and again.events.add([event(2)]) == {"e2": "kept"}


def test_a_log_of_another_store_is_replaced_whole(store, tmp_path, means, master):
    for number in range(5):
        store.audit.add("list", {"n": number})
    store.audit.sign_head()
    store.back_up(tmp_path / "backup", **means[0])
    other = Store.open(tmp_path / "other.db", master)
    for number in range(9):
        other.audit.add("list", {"other": number})
    other.audit.sign_head()
    other.restore(tmp_path / "backup", **means[1])
    back = Store.open(tmp_path / "other.db", master)
    verdict = back.audit.verify()
    assert verdict.ok and verdict.rows == 7, "5 lists, the backup, the restoring"
    assert back.audit.sign_head() == 7 and back.audit.verify().signed == 7


@pytest.mark.parametrize("recipient", ["age1nothing", "", "ssh-ed25519 AAAA"])
def test_a_wrong_recipient_is_one_line_and_writes_nothing(store, tmp_path, recipient):
    with pytest.raises(DataError, match="age recipient"):
        store.back_up(tmp_path / "backup", recipient=recipient)
    assert not (tmp_path / "backup").exists() and store.audit.last(1) == []


def test_a_changed_byte_of_a_backup_is_found(store, tmp_path, means):
    store.events.add([event(1)])
    store.back_up(tmp_path / "backup", **means[0])
    content = (tmp_path / "backup").read_bytes()
    for place in range(0, len(content), max(len(content) // 40, 1)):
        (tmp_path / "backup").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError, match="cannot be opened as a backup"):
            store.restore(tmp_path / "backup", **means[1])
    assert [each.id for each in store.events.of(USER)] == ["e1"]


def test_a_running_server_follows_a_restore(store, open_store, tmp_path, means):
    """As many rows, under the same numbers, as those that it knows: only what they say is another."""
    writing_means, reading_means = means
    store.feedback.add(Feedback(item_id="1", opinion="not for me", user=USER))
    store.back_up(tmp_path / "b.age", **writing_means)
    running = open_store()
    with writing(store.engine) as connection:
        store.feedback.erase(connection, store.people.pseudonym(USER))
    store.feedback.add(Feedback(item_id="2", opinion="not for me", user=USER))
    running.feedback.refresh()
    assert running.feedback.refused_items(USER) == {"2"}
    open_store().restore(tmp_path / "b.age", **reading_means)
    running.feedback.refresh()
    assert running.feedback.refused_items(USER) == {"1"}
    open_store().restore(tmp_path / "b.age", **reading_means)
    running.feedback.refresh()
    assert running.feedback.refused_items(USER) == {"1"}
