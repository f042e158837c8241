"""Questions back to an engine: every answer is what ranking for the changed history gives."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import what_if, why_not
from recommender.errors import DataError, RecommenderError
from recommender.justify import Style


@pytest.fixture
def model(make_checkpoint):
    return Recommender(make_checkpoint())


def ids(model, *indices):
    return tuple(model.catalogue[i].item_id for i in indices)


def shown(model, asked):
    return [item.item_id for item in model.answer(asked.model_copy(update={"explain": False})).items]


def test_a_listed_item_is_said_to_be_listed(model):
    asked = Request(history=ids(model, 1, 2, 3), k=3)
    told = why_not(model, asked, shown(model, asked)[1])
    assert told["listed"] and told["rank"] == 2 and not told["changes"]
    assert "at place 2" in told["text"]


def test_a_change_that_is_told_brings_the_item_in(model):
    asked = Request(history=ids(model, 1, 2, 3, 8), k=2)
    found = 0
    for item in model.catalogue.item_ids:
        told = why_not(model, asked, item)
        for change in told["changes"]:
            removed = {one["item_id"] for one in change["removed"]}
            history = tuple(i for i in asked.history if i not in removed)
            history += tuple(one["item_id"] for one in change["added"])
            again = asked.model_copy(update={"history": history, "exclude": tuple(removed)})
            assert item in shown(model, again), told
            assert all(one["title"] in told["text"] for one in (*change["removed"], *change["added"]))
            found += 1
    assert found


def test_what_is_seen_filtered_or_left_out_is_said(model):
    asked = Request(history=ids(model, 1), k=2, filters={"genres": ("comedy",)}, exclude=ids(model, 4))
    seen = why_not(model, asked, ids(model, 1)[0])
    assert seen["seen"] and not seen["listed"] and "in your history already" in seen["text"]
    drama = why_not(model, asked, ids(model, 3)[0])
    assert "genres must be comedy, and it has drama" in drama["text"] and not drama["listed"]
    left_out = why_not(model, asked, ids(model, 4)[0])
    assert list(left_out["barred_by"]) == ["exclude"]
    only = why_not(model, Request(only=ids(model, 4, 5), k=2), ids(model, 6)[0])
    assert list(only["barred_by"]) == ["only"]


def test_a_list_without_an_item_is_what_ranking_without_it_gives(model):
    asked = Request(history=ids(model, 1, 2, 3), k=4)
    told = what_if(model, asked, ids(model, 2))
    without = asked.model_copy(update={"history": ids(model, 1, 3)})
    assert [one["item_id"] for one in told["before"]] == shown(model, asked)
    assert [one["item_id"] for one in told["after"]] == shown(model, without)
    changed = {one["item_id"] for one in told["before"]} - {one["item_id"] for one in told["after"]}
    assert {one["item_id"] for one in told["left"]} == changed
    first, then = (model.score([model.catalogue.indices(a.history)], range(20))[0] for a in (asked, without))
    for one in told["moved"]:
        place = model.catalogue.index(one["item_id"])
        assert one["change"] == pytest.approx(float(then[place] - first[place]), abs=1e-3)
    assert told["text"].startswith('Without "') and told["text"].endswith(".")


def test_wrong_questions_are_one_clear_error(model):
    with pytest.raises(DataError, match="'1O3'"):
        why_not(model, Request(k=2), "1O3")
    with pytest.raises(RecommenderError, match="'105' is not in the history"):
        what_if(model, Request(history=("101",), k=2), ["105"])
    with pytest.raises(RecommenderError, match="nothing to fuse"):
        why_not(model, Request(k=2, fused=True), "103")


def test_answers_come_in_the_language_of_the_sentences(model):
    model.setup.style = Style("films", language="de")
    told = what_if(model, Request(history=ids(model, 1, 2), k=3), ids(model, 2))
    assert told["text"].startswith('Ohne "')


def test_alike_is_by_text_and_never_itself(model, features, monkeypatch):
    vectors = features.vectors["text"] / np.linalg.norm(features.vectors["text"], axis=1, keepdims=True)
    order = [int(i) for i in np.argsort(-(vectors @ vectors[5]), kind="stable") if i != 5]
    assert model.similar_items(5, 4) == order[:4]
    monkeypatch.setattr(Recommender, "vectors", None)
    assert model.similar_items(5, 4) == []
