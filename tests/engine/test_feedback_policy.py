"""What an engine does about feedback: what is shown and what is told from the next answer on."""

from __future__ import annotations

import pytest

from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import why_not
from recommender.errors import DataError
from recommender.store.opinions import Feedback


def opinion_of(item, opinion, user="ann", **more):
    return Feedback(item_id=item, opinion=opinion, user=user, **more)


@pytest.fixture
def model(make_checkpoint, tmp_path):
    made = Recommender(make_checkpoint())
    made.feedback_policy.keep_in(tmp_path / "f.jsonl")
    return made


def shown(model, **fields):
    return [item.item_id for item in model.answer(Request(history=("101", "103"), k=4, explain=False, **fields)).items]


def test_what_is_not_for_somebody_is_not_shown_to_them_again(model):
    before = shown(model)
    model.feedback_policy.take(opinion_of(before[0], "not for me"), "films")
    assert before[0] not in shown(model, user="ann") and shown(model, user="bob") == shown(model) == before
    request = Request(history=("101",), k=4, user="ann", explain=False)
    assert any("not for this person: 1" in note for note in model.answer(request).notes)
    assert "you said that it is not for you" in why_not(model, request, before[0])["text"]
    model.feedback_policy.take(opinion_of(before[0], "helpful"), "films")
    assert shown(model, user="ann") == before


def test_a_wrong_fact_is_not_spoken_of_again(model):
    history = ("101", "103", "105", "107")
    first = model.answer(Request(history=history, k=4)).items
    named = next(item for item in first if "comedy" in item.justification or "drama" in item.justification)
    stored = model.feedback_policy.take(opinion_of(named.item_id, "wrong", justification=named.justification), "films")
    assert stored.facts
    again = next(i for i in model.answer(Request(history=history, k=4)).items if i.item_id == named.item_id)
    assert all(value not in again.justification for _, value in stored.facts)
    assert all(claim["true"] for claim in again.evidence["claims"])
    assert not {(f["name"], f["value"]) for f in again.evidence["shared"]} & set(stored.facts)
    others = {item.item_id: item.justification for item in first if item.item_id != named.item_id}
    now = model.answer(Request(history=history, k=4)).items
    assert others == {item.item_id: item.justification for item in now if item.item_id in others}


def test_a_year_that_was_called_wrong_is_no_name_either(model):
    item = model.catalogue[0]
    model.feedback_policy.take(opinion_of("100", "wrong", facts=(("year", "1990"), ("decade", "1990s"))), "films")
    reason = model.explain(model.catalogue.indices(["101"]), [0])[0]
    assert "1990" not in reason.text
    checker = model.feedback_policy.checker()
    assert not checker.check(f'"{item.title}" (1990) is recommended.', reason.evidence, "films").ok
    assert model.checker.check(f'"{item.title}" (1990) is our suggestion, as you watched "x".', reason.evidence).claims


def test_what_was_helpful_is_spoken_of_first(model):
    model.feedback_policy.take(opinion_of("100", "helpful", facts=(("year", "1990"),)), "films")
    assert model.justifier.styles([3], "ann")[0].prefers == ("year",)
    assert model.justifier.styles([3], None) == model.justifier.styles([3], "bob") == [model.style]


def test_a_person_who_likes_short_texts_gets_them_and_one_key_switches_that_off(model):
    history, items = model.catalogue.indices(["101", "103", "105"]), [3, 5, 7, 9, 11, 12]
    texts = [each.text for each in model.explain(history, items)]
    for number in range(8):
        model.feedback_policy.take(
            opinion_of(str(100 + number), "helpful", justification='As you saw "X", "Y" is for you.'), "films"
        )
    lengths = [style.length for style in model.justifier.styles(items, "ann")]
    assert lengths.count("short") >= 4
    adapted = model.explain(history, items, user="ann")
    assert [each.evidence.item for each in adapted] == items
    for length, each in zip(lengths, adapted, strict=True):
        assert length != "short" or each.text.count('"') <= 4, "the item and one of the history"
    assert [each.text for each in model.explain(history, items, user="bob")] == texts
    model.feedback_policy.adapts = False
    assert [each.text for each in model.explain(history, items, user="ann")] == texts


def test_wrong_feedback_is_one_clear_error(model, make_checkpoint):
    for wrong, match in (
        (opinion_of("1OO", "helpful"), "unknown item id"),
        (opinion_of("100", "wrong", facts=(("genres", "western"),)), "nothing says genres=western"),
        (opinion_of("100", "wrong", justification="Nothing here."), "tells no fact"),
    ):
        with pytest.raises(DataError, match=match):
            model.feedback_policy.take(wrong, "films")
    with pytest.raises(DataError, match="not kept here"):
        Recommender(make_checkpoint()).feedback_policy.take(opinion_of("100", "helpful"), "films")


def test_what_is_not_for_somebody_is_no_reason_for_them(model):
    history = ("101", "103", "105", "107")
    request = Request(history=history, k=4)
    reasons = [entry["item_id"] for item in model.answer(request).items for entry in item.evidence["influences"]]
    disliked = max(set(reasons), key=reasons.count)
    model.feedback_policy.take(opinion_of(disliked, "not for me"), "films")
    name = f'"{model.catalogue[model.catalogue.index(disliked)].title}"'
    for user, named in (("ann", False), ("bob", True)):
        items = model.answer(request.model_copy(update={"user": user})).items
        told = [entry["item_id"] for item in items for entry in item.evidence["influences"]]
        assert (disliked in told) is named and all(item.justification for item in items)
        assert named or all(name not in item.justification for item in items)
    known, indices = model.catalogue.indices(history), [model.catalogue.index(i.item_id) for i in items]
    explained = model.explain(known, indices, user="ann")
    assert all(model.catalogue.index(disliked) not in [i.item for i in j.evidence.influences] for j in explained)
