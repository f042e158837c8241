"""A query in words ranks: what is written of as it says rises by so many nats, on top of whatever else ranks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from recommender.baselines.fusion.stored import LANGUAGE_MODEL, StoredFusion
from recommender.encoders.reduction import Reduction
from recommender.encoders.text import TextEncoder
from recommender.engine import Recommender, Request
from recommender.engine.trace import recorded_answer, replay

WISH = "a red comedy of war"


@pytest.fixture
def settings(config, text_folder):
    return config.updated({"encoders.text": str(text_folder), "decoding.query_weight": 1.5})


@pytest.fixture
def read(catalogue, features, text_folder):
    """The tiny world's features with its documents read by the tiny encoder; item 4 has no text."""
    encoder = TextEncoder(str(text_folder))
    raw = encoder.encode([catalogue.document(item) for item in range(len(catalogue))])
    reduction = Reduction.fit(raw, 8, encoder.identity)
    vectors, present = reduction.apply(raw), features.present["text"].copy()
    vectors[4], present[4] = 0, False
    own = replace(features, vectors=features.vectors | {"text": vectors}, present=features.present | {"text": present})
    return replace(own, reductions={"text": reduction})


@pytest.fixture
def model(make_checkpoint, settings, read):
    model = Recommender(make_checkpoint(settings=settings))
    model.set_features(read)
    return model


def test_a_wish_adds_nats_for_each_standard_deviation_of_likeness(model):
    gains = model.ranker.query_gains(WISH)
    known = model.features.present["text"]
    assert gains[known].mean() == pytest.approx(0, abs=1e-5) and gains[known].std() == pytest.approx(1.5, abs=1e-4)
    assert gains[4] == 0
    for item in (0, 7, 13):
        assert int(model.ranker.query_gains(model.catalogue.document(item)).argmax()) == item


@pytest.mark.parametrize("levels", [1, 3])
def test_an_answer_is_ranked_by_log_probability_and_wish(make_checkpoint, settings, read, levels):
    model = Recommender(make_checkpoint(levels, settings))
    model.set_features(read)
    answer = model.answer(Request(history=("103", "107"), k=18, explain=False, query=WISH))
    scores = model.score([np.array([3, 7])], range(20), WISH)[0] + model.ranker.query_gains(WISH)
    expected = [i for i in np.argsort(-scores, kind="stable") if i not in (3, 7)]
    assert [i.item_id for i in answer.items] == [model.catalogue[i].item_id for i in expected]
    np.testing.assert_allclose([i.score for i in answer.items], scores[expected], atol=1e-4)
    assert any("by the query" in note for note in answer.notes)


def test_baselines_rank_along_with_what_the_language_model_and_the_wish_say(model):
    class Ordered:
        def scores(self, histories):
            return np.tile(np.arange(20, dtype=np.float32), (len(histories), 1))

    asked, history = Request(history=("103",), k=19, explain=False, query=WISH), [np.array([3])]
    model.setup.fusion = StoredFusion({"ordered": Ordered()}, {LANGUAGE_MODEL: (1.0, 0.5), "ordered": (0.5, 0.5)})
    expected = model.fusion.scores(model.score(history, range(20), WISH) + model.ranker.query_gains(WISH), history)[0]
    told = {item.item_id: item.score for item in model.answer(asked).items}
    assert told == pytest.approx({str(100 + i): score for i, score in enumerate(expected) if i != 3}, abs=1e-4)
    np.testing.assert_allclose(model.score_all(history, WISH)[0], expected, atol=1e-4)
    without_query = asked.model_copy(update={"query": None})
    assert told != {item.item_id: item.score for item in model.answer(without_query).items}


def test_requests_that_wish_and_others_are_answered_as_if_alone(model):
    queries = (None, WISH, "", "blue drama", WISH)
    requests = [Request(history=("101", "107"), k=6, explain=False, query=query) for query in queries]
    for together, one in zip(model.answer_many(requests), requests, strict=True):
        alone = model.answer(one)
        assert [i.item_id for i in together.items] == [i.item_id for i in alone.items]
        assert [i.score for i in together.items] == pytest.approx([i.score for i in alone.items], abs=1e-5)
    assert model.answer(requests[0]) == model.answer(requests[2])


def test_several_levels_and_a_narrow_beam_find_what_is_most_like_the_wish(make_checkpoint, settings, read):
    model = Recommender(make_checkpoint(3, settings.updated({"decoding.beam": 2, "decoding.query_weight": 50})))
    model.set_features(read)
    for item in (0, 7, 13):
        asked = Request(history=("119",), k=1, explain=False, query=model.catalogue.document(item))
        score = model.score([np.array([19])], [item], asked.query)[0, 0] + model.ranker.query_gains(asked.query)[item]
        (found,) = model.answer(asked).items
        assert found.item_id == str(100 + item) and found.score == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("broken", ["no nats", "another encoder", "no reduction", "no such encoder"])
def test_it_is_left_to_the_language_model_where_it_cannot_be_or_is_not_to_be_heard(model, read, broken, caplog):
    asked = Request(history=("101",), k=5, explain=False, query=WISH)
    heard = model.answer(asked)
    other = replace(read.reductions["text"], encoder="another")
    if broken == "no nats":
        model.setup.config = model.config.updated({"decoding.query_weight": 0})
    elif broken == "no such encoder":
        model.setup.config = model.config.updated({"encoders.text": "/nowhere/at/all"})
    else:
        model.set_features(replace(read, reductions={"text": other} if broken == "another encoder" else {}))
    plain = model.answer(asked)
    assert plain != heard and not model.scores_query(WISH) and model.ranker.query_gains(WISH) is None
    assert [i.score for i in plain.items] == pytest.approx(
        model.rank([np.array([1])], 5, query=WISH)[0].scores.tolist()
    )
    told = [note for note in plain.notes if "by the language model alone" in note]
    assert bool(told) == (broken != "no nats")
    if broken == "no such encoder":
        assert "/nowhere/at/all" in caplog.text and "/nowhere" not in told[0]  # paths are for the log


@pytest.mark.parametrize("query", ["  ", "?!", "<|im_end|>", None])
def test_a_wish_that_says_nothing_adds_nothing(model, query):
    assert not model.scores_query(query) and model.ranker.query_gains(query) is None
    assert not model.answer(Request(history=("101",), k=5, explain=False, query=query)).notes


def test_threads_that_wish_first_load_one_encoder(model, monkeypatch):
    loads = []
    monkeypatch.setattr(TextEncoder, "load", lambda encoder: loads.append(encoder))
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(model.scores_query, [WISH] * 16))
    assert len(loads) == 1


def test_what_explains_an_item_says_what_the_wish_adds_to_its_score(model):
    gain, alone = float(model.ranker.query_gains(WISH)[7]), float(model.score([np.array([1, 3])], [7], WISH)[0, 0])
    told = model.explain_item(["101", "103"], "107", WISH)
    assert told["query"] == pytest.approx(gain, abs=1e-4) and told["score"] == pytest.approx(alone + gain, abs=1e-4)
    traced = recorded_answer(model, Request(history=("101", "103"), k=1, query=WISH), "107")
    assert traced["query"]["107"] == pytest.approx(gain, abs=1e-4)
    assert traced["items"][0]["score"] == pytest.approx(alone + gain, abs=1e-4)
    assert model.explain_item(["101"], "107")["query"] is None


def test_a_trace_keeps_what_the_wish_added_and_replays(model):
    asked = Request(history=("101", "107"), k=4, query=WISH)
    trace = recorded_answer(model, asked)
    gains = model.ranker.query_gains(WISH)
    assert trace["query"] == {i["item_id"]: round(float(gains[int(i["item_id"]) - 100]), 4) for i in trace["items"]}
    assert replay(model, trace) == []
    assert "query" not in recorded_answer(model, asked.model_copy(update={"query": None}))
