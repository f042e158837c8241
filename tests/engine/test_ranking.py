"""There is one way to rank: requests, conversations and indices all get the same list, boosts and baselines included."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from recommender.baselines.fusion.stored import LANGUAGE_MODEL, StoredFusion
from recommender.chat import Chat
from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import why_not
from recommender.engine.trace import recorded_answer, replay
from recommender.errors import RecommenderError
from tests.conftest import ITEMS


class Backwards:
    """A baseline that prefers the last items of the catalogue."""

    def scores(self, histories):
        return np.tile(np.arange(ITEMS, dtype=np.float32), (len(histories), 1))


FUSION = StoredFusion({"backwards": Backwards()}, {LANGUAGE_MODEL: (1.0, 0.5), "backwards": (2.0, 0.5)})


@pytest.fixture
def model(make_checkpoint):
    return Recommender(make_checkpoint())


def expected_order(scores, seen):
    return [i for i in np.argsort(-scores, kind="stable") if i not in seen]


@pytest.mark.parametrize("fused", [False, True])
def test_boosts_are_nats_on_top_of_the_language_models_score(model, fused):
    model.setup.fusion = FUSION if fused else None
    history, boosts = np.array([3, 7]), np.zeros(ITEMS, np.float32)
    boosts[[5, 11]] = 2.5, -4
    scores = model.score([history], range(ITEMS))[0]
    if fused:
        scores = FUSION.scores(scores[None], [history])[0]
    scores = scores + boosts
    ranking = model.rank([history], ITEMS - 2, fused=None, boosts=boosts)[0]
    assert ranking.items.tolist() == expected_order(scores, (3, 7))
    np.testing.assert_allclose(ranking.scores, scores[ranking.items], atol=1e-4)
    np.testing.assert_allclose(model.score_all([history], boosts=boosts)[0], scores, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 3])
def test_a_request_boosts_items_by_their_ids(make_checkpoint, config, levels):
    model = Recommender(make_checkpoint(levels, config.updated({"decoding.beam": 2})))
    plain = model.answer(Request(history=("103", "107"), k=3, explain=False))
    last = expected_order(model.score([np.array([3, 7])], range(ITEMS))[0], (3, 7))[-1]
    lifted = Request(history=("103", "107"), k=3, explain=False, boosts={str(100 + last): 30})
    answer = model.answer(lifted)
    assert answer.items[0].item_id == str(100 + last)
    assert [item.item_id for item in answer.items[1:]] == [item.item_id for item in plain.items[:2]]
    assert "boosted: 1 items" in answer.notes and "boosted: 1 items" not in plain.notes
    sunk = model.answer(lifted.model_copy(update={"boosts": {plain.items[0].item_id: -30}, "k": 2}))
    assert plain.items[0].item_id not in [item.item_id for item in sunk.items]


def test_boosted_and_plain_requests_are_answered_together_as_if_alone(model):
    requests = [
        Request(history=("103",), k=4, explain=False, boosts=b) for b in ({}, {"110": 9}, {"104": 9, "110": -9})
    ]
    together = [[item.item_id for item in answer.items] for answer in model.answer_many(requests)]
    assert together == [[item.item_id for item in model.answer(request).items] for request in requests]


def test_a_boost_of_an_unknown_item_is_one_clear_error(model):
    with pytest.raises(RecommenderError, match="nowhere"):
        model.answer(Request(k=2, boosts={"nowhere": 1.0}))


def test_boosts_count_in_questions_back_and_in_traces(model):
    lifted = Request(history=("103",), k=2, explain=False, boosts={"119": 30})
    assert why_not(model, lifted, "119")["rank"] == 1
    assert why_not(model, lifted.model_copy(update={"boosts": {"119": -30}}), "119")["rank"] == ITEMS - 1
    trace = recorded_answer(model, lifted)
    assert trace["candidates"][0]["item_id"] == "119" and not replay(model, trace)
    explained = recorded_answer(model, lifted, "119")
    assert explained["items"][0]["score"] == pytest.approx(trace["items"][0]["score"], abs=1e-4)


def talk(engine, text, **options):
    return Chat.of(engine).reply([{"role": "user", "content": text}], history=["103", "107"], explain=False, **options)


@pytest.mark.parametrize("fused", [False, True])
def test_a_conversation_lists_what_the_engine_ranks(model, fused):
    model.setup.fusion = FUSION if fused else None
    reply = talk(model, "show me films", k=5)
    ranking = model.rank([np.array([3, 7])], 5, fused=None)[0]
    assert [item.item_id for item in reply.items] == [str(100 + item) for item in ranking.items]
    np.testing.assert_allclose([item.score for item in reply.items], ranking.scores, atol=1e-4)
    answer = model.answer(Request(history=("103", "107"), k=5, explain=False))
    assert [item.item_id for item in reply.items] == [item.item_id for item in answer.items]


def test_fusion_changes_what_a_conversation_lists(model):
    alone = [item.item_id for item in talk(model, "show me films").items]
    model.setup.fusion = FUSION
    together = [item.item_id for item in talk(model, "show me films").items]
    assert alone != together and {"119", "118"} & set(together)
    model.setup.config = model.config.updated({"decoding.fused": False})
    assert [item.item_id for item in talk(model, "show me films").items] == alone


def test_a_conversation_boosts_and_filters_as_the_engine_does(model):
    reply = talk(model, "only comedy please", k=3)
    allowed = torch.tensor([i % 2 == 0 for i in range(ITEMS)])[None]
    assert [item.item_id for item in reply.items] == [
        str(100 + item) for item in model.rank([np.array([3, 7])], 3, allowed)[0].items
    ]
    boosts = np.zeros(ITEMS)
    boosts[16] = 50
    assert talk(model, "show me films", k=2, boosts=boosts).items[0].item_id == "116"


def test_a_boost_moves_no_other_item_where_baselines_rank_along(model):
    model.setup.fusion = FUSION
    history, boosts = [np.array([3])], np.zeros(ITEMS, np.float32)
    boosts[7] = -1000
    plain, boosted = model.score_all(history)[0], model.score_all(history, boosts=boosts)[0]
    others = np.arange(ITEMS) != 7
    np.testing.assert_allclose(boosted[others], plain[others], atol=1e-5)
    assert boosted.argsort()[1] == 7  # behind it is the seen one alone


def test_an_answer_about_a_seen_item_can_be_written_as_json_where_baselines_rank_along(model):
    model.setup.fusion = FUSION
    answer = why_not(model, Request(history=("103",), k=2), "103")
    assert answer["seen"] and answer["score"] is None
    json.dumps(answer, allow_nan=False)


def test_why_not_one_that_the_conversation_started_from(model):
    model.setup.fusion = FUSION
    chat = Chat.of(model)
    messages = [{"role": "user", "content": "films like The red story"}]
    messages += [{"role": "assistant", "content": chat.reply(messages, explain=False).text}]
    reply = chat.reply([*messages, {"role": "user", "content": "why not The red story?"}], explain=False)
    assert "in your history already" in reply.text and "inf" not in reply.text
