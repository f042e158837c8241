"""Feedback is kept whole, seen by everybody who follows the file, and changes what is shown and told."""

from __future__ import annotations

import threading

import pytest

from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import why_not
from recommender.errors import DataError
from recommender.store.feedback import Feedback, FeedbackStore, read_feedback

FACT = ("genres", "comedy")


def said(item, opinion, user="ann", **more):
    return Feedback(item_id=item, opinion=opinion, user=user, **more)


def test_what_one_adds_another_sees(tmp_path):
    first, second = FeedbackStore(tmp_path / "f.jsonl"), FeedbackStore(tmp_path / "f.jsonl")
    kept = first.add(said("100", "not for me"))
    assert kept.time and second.refused("ann") == frozenset()
    second.refresh()
    assert second.refused("ann") == {"100"} and second.refused("bob") == second.refused(None) == frozenset()
    second.add(said("100", "helpful", facts=(FACT,)))
    assert second.refused("ann") == frozenset() and second.prefers("ann") == ("genres",)
    assert FeedbackStore(tmp_path / "f.jsonl").prefers("ann") == ("genres",)


def test_a_fact_is_wrong_when_enough_people_say_so(tmp_path):
    store = FeedbackStore(tmp_path / "f.jsonl")
    for user in ("ann", "ann", None, None):
        store.add(said("100", "wrong", user, facts=(FACT,)))
    assert store.wrong(2) == {"100": {FACT}} and store.wrong(3) == {}


def test_feedback_that_means_nothing_is_refused(tmp_path):
    store = FeedbackStore(tmp_path / "f.jsonl")
    for wrong, match in ((said("1", "not for me", None), "whose"), (said("1", "wrong"), "what is wrong")):
        with pytest.raises(DataError, match=match):
            store.add(wrong)
    assert not (tmp_path / "f.jsonl").exists()
    with pytest.raises(DataError, match="cannot be kept"):
        FeedbackStore(tmp_path)
    with pytest.raises(DataError, match="cannot be kept"):
        FeedbackStore(tmp_path / "nowhere" / "f.jsonl")


def test_fields_that_cannot_be_kept_are_named_in_one_line():
    with pytest.raises(DataError, match=r"sentence: .*600"):
        read_feedback(item_id="100", opinion="helpful", user="ann", sentence="x" * 601)
    with pytest.raises(DataError, match="opinion: "):
        read_feedback(item_id="100", opinion="so so", user="ann")


def test_damaged_lines_are_passed_over_and_torn_ones_closed(tmp_path):
    path = tmp_path / "f.jsonl"
    FeedbackStore(path).add(said("100", "not for me"))
    with open(path, "ab") as file:
        file.write(b'{"no": 1}\n\xff\n' + b"[" * 5000 + b'\n\n{"item_id": "101", "opin')
    store = FeedbackStore(path)
    assert store.damaged == 3 and store.refused("ann") == {"100"}
    store.add(said("102", "not for me"))
    assert store.refused("ann") == {"100", "102"} and store.damaged == 4
    assert FeedbackStore(path).refused("ann") == {"100", "102"}


def test_many_threads_lose_nothing(tmp_path):
    stores = [FeedbackStore(tmp_path / "f.jsonl") for _ in range(4)]

    def add(number):
        for n in range(50):
            stores[number].add(said(f"{number}-{n}", "not for me"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = FeedbackStore(tmp_path / "f.jsonl")
    assert len(kept.refused("ann")) == 200 and kept.damaged == 0


@pytest.fixture
def model(make_checkpoint, tmp_path):
    made = Recommender(make_checkpoint())
    made.feedback_policy.keep_in(tmp_path / "f.jsonl")
    return made


def shown(model, **asked):
    return [item.item_id for item in model.answer(Request(history=("101", "103"), k=4, explain=False, **asked)).items]


def test_what_is_not_for_somebody_is_not_shown_to_them_again(model):
    before = shown(model)
    model.feedback_policy.take(said(before[0], "not for me"), "films")
    assert before[0] not in shown(model, user="ann") and shown(model, user="bob") == shown(model) == before
    asked = Request(history=("101",), k=4, user="ann", explain=False)
    assert any("not for this person: 1" in note for note in model.answer(asked).notes)
    assert "you said that it is not for you" in why_not(model, asked, before[0])["text"]
    model.feedback_policy.take(said(before[0], "helpful"), "films")
    assert shown(model, user="ann") == before


def test_a_wrong_fact_is_not_spoken_of_again(model):
    history = ("101", "103", "105", "107")
    first = model.answer(Request(history=history, k=4)).items
    told = next(item for item in first if "comedy" in item.justification or "drama" in item.justification)
    kept = model.feedback_policy.take(said(told.item_id, "wrong", sentence=told.justification), "films")
    assert kept.facts
    again = next(i for i in model.answer(Request(history=history, k=4)).items if i.item_id == told.item_id)
    assert all(value not in again.justification for _, value in kept.facts)
    assert all(claim["true"] for claim in again.evidence["claims"])
    assert not {(f["name"], f["value"]) for f in again.evidence["shared"]} & set(kept.facts)
    others = {item.item_id: item.justification for item in first if item.item_id != told.item_id}
    now = model.answer(Request(history=history, k=4)).items
    assert others == {item.item_id: item.justification for item in now if item.item_id in others}


def test_a_year_that_was_called_wrong_is_no_name_either(model):
    item = model.catalogue[0]
    model.feedback_policy.take(said("100", "wrong", facts=(("year", "1990"), ("decade", "1990s"))), "films")
    reason = model.explain(model.catalogue.indices(["101"]), [0])[0]
    assert "1990" not in reason.text
    checker = model.feedback_policy.checker()
    assert not checker.check(f'"{item.title}" (1990) is recommended.', reason.evidence, "films").ok
    assert model.checker.check(f'"{item.title}" (1990) is our suggestion, as you watched "x".', reason.evidence).claims


def test_what_was_helpful_is_spoken_of_first(model):
    model.feedback_policy.take(said("100", "helpful", facts=(("year", "1990"),)), "films")
    assert model.feedback_policy.style(model.style, "ann").prefers == ("year",)
    assert model.feedback_policy.style(model.style, None).prefers == ()


def test_wrong_feedback_is_one_clear_error(model, make_checkpoint):
    for wrong, match in (
        (said("1OO", "helpful"), "unknown item id"),
        (said("100", "wrong", facts=(("genres", "western"),)), "nothing says genres=western"),
        (said("100", "wrong", sentence="Nothing here."), "tells no fact"),
    ):
        with pytest.raises(DataError, match=match):
            model.feedback_policy.take(wrong, "films")
    with pytest.raises(DataError, match="not kept here"):
        Recommender(make_checkpoint()).feedback_policy.take(said("100", "helpful"), "films")
