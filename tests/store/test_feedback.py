"""The feedback file: kept whole, seen by every process that follows it, and what follows for users and items."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import DataError
from recommender.store.feedback import FeedbackStore
from recommender.store.opinions import OPINIONS, Feedback, read_feedback

FACT, YEAR = ("genres", "comedy"), ("year", "1990")


def opinion_of(item, opinion, user="ann", **more):
    return Feedback(item_id=item, opinion=opinion, user=user, **more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feedback.jsonl"


def test_what_one_process_adds_another_sees(path):
    first, second = FeedbackStore(path), FeedbackStore(path)
    stored = first.add(opinion_of("100", "not for me"))
    assert stored.time and second.refused_items("ann") == frozenset()
    second.refresh()
    assert second.refused_items("ann") == {"100"}
    assert second.refused_items("bob") == second.refused_items(None) == frozenset()
    second.add(opinion_of("100", "helpful", facts=(FACT,)))
    assert second.refused_items("ann") == frozenset() and second.helpful_texts("ann") == ((("genres",), ""),)
    assert FeedbackStore(path).helpful_texts("ann") == ((("genres",), ""),)


def test_calling_a_fact_wrong_leaves_the_opinion_of_the_item(path):
    store = FeedbackStore(path)
    store.add(opinion_of("100", "not for me"))
    store.add(opinion_of("100", "wrong", facts=(FACT,)))
    assert store.refused_items("ann") == {"100"}


def test_a_fact_is_wrong_when_enough_users_say_so(path):
    store = FeedbackStore(path)
    for user in ("ann", "ann", None, None):
        store.add(opinion_of("100", "wrong", user, facts=(FACT,)))
    store.add(opinion_of("100", "wrong", "ann", facts=(YEAR,)))
    assert store.wrong_facts() == {"100": {FACT, YEAR}}
    assert store.wrong_facts(2) == {"100": {FACT}} and store.wrong_facts(3) == {}


def test_what_was_helpful_is_kept_once_an_item_until_it_is_taken_back(path):
    store = FeedbackStore(path)
    assert store.helpful_texts("ann") == store.helpful_texts(None) == ()
    two_of_one = (("genres", "drama"), FACT)
    for item, facts in (("100", (YEAR,)), ("101", (YEAR, *two_of_one)), ("100", (("cast", "x"),))):
        store.add(opinion_of(item, "helpful", facts=facts, justification=f"on {item}"))
    assert store.helpful_texts("ann") == ((("year", "genres"), "on 101"), (("cast",), "on 100"))
    store.add(opinion_of("101", "not for me"))
    assert store.helpful_texts("ann") == FeedbackStore(path).helpful_texts("ann") == ((("cast",), "on 100"),)


def test_feedback_that_nothing_follows_from_is_refused(path, tmp_path):
    store = FeedbackStore(path)
    for feedback, match in (
        (opinion_of("1", "not for me", None), "whose"),
        (opinion_of("1", "helpful", None), "whose"),
        (opinion_of("1", "wrong"), "what is wrong"),
    ):
        with pytest.raises(DataError, match=match):
            store.add(feedback)
    assert not path.exists()
    with pytest.raises(DataError, match="cannot be kept"):
        FeedbackStore(tmp_path)
    with pytest.raises(DataError, match="cannot be kept"):
        FeedbackStore(tmp_path / "nowhere" / "f.jsonl")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"justification": "x" * 601}, r"justification: .*600"),
        ({"sentence": "x" * 601}, r"sentence: .*600"),
        ({"opinion": "so so"}, "opinion: "),
        ({"item_id": "x" * 201}, "item_id: "),
        ({"facts": [["genres"]]}, "facts.0"),
        ({"facts": [FACT] * 51}, "facts: "),
        ({"stars": 5}, "stars: "),
    ],
)
def test_fields_that_cannot_be_kept_are_named_in_one_line(fields, match):
    with pytest.raises(DataError, match=match) as refused:
        read_feedback(**{"item_id": "100", "opinion": "helpful", "user": "ann"} | fields)
    assert "\n" not in str(refused.value)


def test_the_former_name_of_the_justification_is_read(path):
    assert read_feedback(item_id="1", opinion="helpful", user="a", sentence="s").justification == "s"
    path.write_text(
        '{"item_id": "1", "opinion": "helpful", "user": "a", "facts": [["year", "1990"]], "sentence": "s"}\n'
    )
    store = FeedbackStore(path)
    assert store.damaged_lines == 0 and store.helpful_texts("a") == ((("year",), "s"),)
    store.add(opinion_of("2", "helpful", facts=(FACT,), justification="new"))
    assert json.loads(path.read_text().splitlines()[1])["justification"] == "new"


def test_damaged_lines_are_skipped_and_unfinished_ones_closed(path):
    FeedbackStore(path).add(opinion_of("100", "not for me"))
    with open(path, "ab") as file:
        file.write(b'{"no": 1}\n\xff\n' + b"[" * 5000 + b'\n\n{"item_id": "101", "opin')
    store = FeedbackStore(path)
    assert store.damaged_lines == 3 and store.refused_items("ann") == {"100"}
    store.add(opinion_of("102", "not for me"))
    assert store.refused_items("ann") == {"100", "102"} and store.damaged_lines == 4
    assert FeedbackStore(path).refused_items("ann") == {"100", "102"}


def test_a_line_counts_once_it_is_whole(path):
    store = FeedbackStore(path)
    line = opinion_of("100", "not for me").model_dump_json().encode()
    path.write_bytes(line[:20])
    store.refresh()
    assert store.damaged_lines == 0 and store.refused_items("ann") == frozenset()
    with open(path, "ab") as file:
        file.write(line[20:] + b"\n")
    store.refresh()
    assert store.damaged_lines == 0 and store.refused_items("ann") == {"100"}


def test_many_threads_lose_nothing(path):
    stores = [FeedbackStore(path) for _ in range(4)]

    def add(number):
        for n in range(50):
            stores[number].add(opinion_of(f"{number}-{n}", "not for me"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = FeedbackStore(path)
    assert len(store.refused_items("ann")) == 200 and store.damaged_lines == 0


ENTRIES = st.builds(
    Feedback,
    item_id=st.sampled_from("abc"),
    opinion=st.sampled_from(OPINIONS),
    user=st.sampled_from(["ann", "bob"]),
    facts=st.lists(st.sampled_from([FACT, YEAR]), min_size=1, unique=True).map(tuple),
)


@given(st.lists(ENTRIES, max_size=12))
def test_a_store_says_what_its_entries_say(tmp_path_factory, entries):
    """Against a plain reading of the list: the last opinion of an item counts, and every vote against a fact."""
    path = tmp_path_factory.mktemp("store") / "f.jsonl"
    store = FeedbackStore(path)
    for entry in entries:
        store.add(entry)
    for user in ("ann", "bob"):
        last = {e.item_id: e.opinion for e in entries if e.user == user and e.opinion != "wrong"}
        assert store.refused_items(user) == {item for item, opinion in last.items() if opinion == "not for me"}
    for votes in (1, 2):
        wrong = {(e.item_id, fact, e.user) for e in entries if e.opinion == "wrong" for fact in e.facts}
        expected = {
            (item, fact)
            for item, fact, _ in wrong
            if len({user for i, f, user in wrong if (i, f) == (item, fact)}) >= votes
        }
        found = store.wrong_facts(votes)
        assert {(item, fact) for item, facts in found.items() for fact in facts} == expected
    again = FeedbackStore(path)
    assert again.damaged_lines == 0 and again.wrong_facts() == store.wrong_facts()


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    store = FeedbackStore(tmp_path / "feedback.jsonl")
    store.add(read_feedback(item_id="1", opinion="not for me", user="ann"))
    before = (tmp_path / "feedback.jsonl").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recommender.store.feedback.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.add(read_feedback(item_id="2", opinion="not for me", user="ann"))
    assert (tmp_path / "feedback.jsonl").read_bytes() == before
    assert store.refused_items("ann") == {"1"}


WRITER = """
import sys
from pathlib import Path
from recommender.store.feedback import FeedbackStore
from recommender.store.opinions import read_feedback
store = FeedbackStore(Path(sys.argv[1]))
for number in range(200):
    store.add(read_feedback(item_id=f"{sys.argv[2]}-{number}", opinion="not for me", user="ann"))
"""


def test_two_processes_lose_and_mix_no_line(tmp_path):
    path = tmp_path / "feedback.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, name]) for name in "ab"]
    store = FeedbackStore(path)
    assert [writer.wait() for writer in writers] == [0, 0]
    store.refresh()
    assert store.damaged_lines == 0 and len(store.refused_items("ann")) == 400


# what happens to the file while it is in use


def liked(item, user="ann"):
    return Feedback(item_id=item, opinion="not for me", user=user)


def test_a_file_that_was_cut_or_rotated_is_read_anew(tmp_path):
    store = FeedbackStore(tmp_path / "feedback.jsonl")
    store.add(liked("1"))
    store.path.write_text("")
    store.add(liked("2"))
    assert store.refused_items("ann") == {"2"}
    store.path.rename(tmp_path / "old.jsonl")
    store.add(liked("3"))
    assert store.refused_items("ann") == {"3"} and len(store.path.read_text().splitlines()) == 1


def test_who_holds_the_file_keeps_nobody_waiting_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr("recommender.store.feedback._LONGEST_HELD", 0.1)
    store = FeedbackStore(tmp_path / "feedback.jsonl")
    store.add(liked("1"))
    with open(store.path) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process holds the file"):
            store.add(liked("2"))
        store.refresh()
        assert store.refused_items("ann") == {"1"}
    store.add(liked("2"))
    assert store.refused_items("ann") == {"1", "2"}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to nowhere", "loop"])
def test_only_a_plain_file_keeps_feedback(tmp_path, kind):
    path = tmp_path / "feedback.jsonl"
    make = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/full"),
        "folder": path.mkdir,
        "link to nowhere": lambda: path.symlink_to(tmp_path / "nothing"),
        "loop": lambda: path.symlink_to(path),
    }
    make[kind]()
    with pytest.raises((DataError, OSError)):
        FeedbackStore(path)


def test_a_file_that_becomes_something_else_is_told_to_who_adds(tmp_path, caplog):
    store = FeedbackStore(tmp_path / "feedback.jsonl")
    store.add(liked("1"))
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(OSError, match="directory|plain"):
        store.add(liked("2"))
    store.refresh()
    assert store.refused_items("ann") == {"1"} and "cannot be read" in caplog.text
