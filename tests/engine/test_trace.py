"""Decision traces: what decided an answer is kept; replayed it comes out the same, or it is said what differs."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from recommender.engine import Recommender, Request, make_request
from recommender.engine.trace import load, readable, recorded_answer, replay, save
from recommender.errors import DataError
from recommender.model.checkpoint import save_pretrained
from tests.joined import joined_checkpoint


@pytest.fixture
def model(make_checkpoint):
    return Recommender(make_checkpoint())


ASKED = Request(history=("101", "107", "103"), k=4, filters={"genres": ("comedy",)}, query="a red story")


def test_a_trace_holds_all_that_decided(model, tmp_path):
    trace = recorded_answer(model, ASKED)
    answer = model.answer(ASKED)
    assert [item["item_id"] for item in trace["items"]] == [item.item_id for item in answer.items]
    assert [one["item_id"] for one in trace["candidates"][:4]] == [item.item_id for item in answer.items]
    assert len(trace["candidates"]) > 4 and trace["trie"]["allowed"] == len(trace["candidates"])
    for item in trace["items"]:
        assert set(item["evidence"]) == {"influences", "shared", "passages", "claims", "writing"}
        assert all(claim["true"] for claim in item["evidence"]["claims"]) and item["evidence"]["writing"]["prompt"]
    assert set(trace["modalities"]) == {"text", "image", "audio", "collaborative"}
    assert "a red story" in trace["prompt"]["text"] and "<item 103>" in trace["prompt"]["text"]
    assert trace["model"]["catalogue"] == model.catalogue.fingerprint and trace["model"]["packages"]["torch"]
    save(trace, tmp_path / "kept" / "trace.json")
    assert load(tmp_path / "kept" / "trace.json") == json.loads(json.dumps(trace))


@pytest.mark.parametrize("levels", [1, 3])
def test_a_replay_of_the_same_model_is_the_same(make_checkpoint, tmp_path, levels):
    trace = recorded_answer(Recommender(make_checkpoint(levels)), ASKED)
    save(trace, tmp_path / "trace.json")
    assert replay(Recommender(make_checkpoint(levels)), load(tmp_path / "trace.json")) == []


def test_domains_are_told_where_they_are_given(catalogue, features, tmp_path):
    engine = Recommender(joined_checkpoint(tmp_path, catalogue, features))
    request = make_request(history=["103"], k=4, explain=False, domains=["films", "products"])
    trace = recorded_answer(engine, request)
    assert trace["request"]["domains"] == {"films": 0, "products": 0} and replay(engine, trace) == []
    assert "domains" not in recorded_answer(engine, request.model_copy(update={"domains": {}}))["request"]


def test_a_replay_says_what_differs(make_checkpoint, model):
    trace = recorded_answer(model, ASKED)
    other = make_checkpoint()
    with torch.no_grad():
        other.model.rows.add_(torch.randn_like(other.model.rows))
    places = {one.where.partition(".")[0] for one in replay(Recommender(other), trace)}
    assert "candidates" in places and "prompt" not in places and "trie" not in places
    changed = trace | {"prompt": trace["prompt"] | {"sha256": "0"}}
    found = replay(model, changed)
    assert [(one.where, one.then) for one in found] == [("prompt.sha256", "0")]


def test_the_files_of_a_checkpoint_are_told(make_checkpoint, catalogue, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "model")
    model = Recommender.from_pretrained(tmp_path / "model", catalogue)
    told = recorded_answer(model, Request(history=("101",), k=2))["model"]
    weights = (tmp_path / "model" / "adapter.safetensors").read_bytes()
    assert told["files"]["adapter.safetensors"] == hashlib.sha256(weights).hexdigest()
    assert told["source"] == str(tmp_path / "model")


def test_one_item_is_explained_even_if_it_was_seen(model):
    trace = recorded_answer(model, Request(history=("101", "107"), k=1), "107")
    assert trace["explains"] == "107" and [item["item_id"] for item in trace["items"]] == ["107"]
    assert replay(model, trace) == []


def test_a_prompt_can_be_read_at_every_depth(leveled, make_checkpoint):
    engine = Recommender(make_checkpoint(leveled[0].ids.levels))
    text = readable(engine, engine.builder.prompt([3, 7]))
    assert "recommend" in text and ("<item" in text or "<code" in text) and "\ue000" not in text


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1}', "\x00"])
def test_what_is_no_trace_is_one_clear_error(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match="no decision trace"):
        load(tmp_path / "x.json")
    good = {"format": 99, "explains": None, "model": {"source": ""}, "request": {"history": []}}
    (tmp_path / "y.json").write_text(json.dumps(good))
    with pytest.raises(DataError, match="format 99"):
        load(tmp_path / "y.json")
