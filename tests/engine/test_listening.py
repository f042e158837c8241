"""Engines that listen: a query is heard, a history stays as it is ranked, and both add up."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.engine import Recommender
from recommender.engine.requests import make_request
from recommender.errors import RecommenderError


@pytest.fixture
def engine(listening_checkpoint):
    return Recommender(listening_checkpoint)


def test_a_history_alone_is_ranked_as_before(engine):
    history = [np.array([1, 2, 3])]
    assert np.array_equal(engine.score_all(history), engine.score(history, range(20)))


def test_a_query_without_a_history_is_heard_alone(engine):
    nobody = np.zeros(0, np.int64)
    heard = engine.hear_prompts([engine.reader.query("a red story please")])
    assert np.allclose(engine.score_all([nobody], "a red story please"), heard, atol=1e-4)
    other = engine.score_all([nobody], "no drama")
    assert not np.allclose(heard, other, atol=1e-3)


def test_what_is_heard_adds_to_a_history(engine):
    history = np.array([1, 2, 3])
    query = "something like The blue day"
    heard, silence = engine.hear_prompts([engine.reader.query(query, history), engine.reader.silence(history)])
    expected = engine.score([history], range(20))[0] + heard - silence
    assert np.allclose(engine.score_all([history], query)[0], expected, atol=1e-3)


def test_a_request_with_a_query_meets_its_filters(engine):
    ids = engine.catalogue.item_ids
    answer = engine.answer(make_request(history=ids[:2], query="funny", filters={"genres": "comedy"}, explain=False))
    assert answer.items and all(
        "comedy" in engine.catalogue.facts(engine.catalogue.index(i.item_id))["genres"] for i in answer.items
    )
    requests = [make_request(history=ids[:2], query=q, explain=False) for q in ("funny", None, "sad")]
    together = engine.answer_many(requests)
    alone = [engine.answer(request) for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert [i.item_id for i in one.items] == [i.item_id for i in other.items]


def test_names_in_a_query_are_positions(engine):
    prompt = engine.reader.query("something like The red story and The blue day")
    names = [engine.catalogue[int(i)].title for i in prompt.items[prompt.items >= 0]]
    assert names == ["The red story", "The blue day"]


def test_who_has_not_learned_to_listen_says_so(make_checkpoint):
    engine = Recommender(make_checkpoint())
    assert not engine.listens
    with pytest.raises(RecommenderError, match="not learned to listen"):
        engine.converse([("user", "hello")])
    with pytest.raises(RecommenderError, match="not learned to listen"):
        engine.hear_prompts([])
