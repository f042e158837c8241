"""Lists as they are served to people: kept with their probabilities, drawn by chance and by arms where so configured."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from starlette.testclient import TestClient

from recommender.baselines.fusion.stored import LANGUAGE_MODEL, StoredFusion
from recommender.config import ExplorationConfig, ServingConfig
from recommender.engine import Recommender
from recommender.errors import ConfigError, RecommenderError
from recommender.experiments.draws import generator
from recommender.experiments.policies import ListPolicy
from recommender.server.app import create_app
from recommender.store.database import StoreUnavailableError
from tests.engine.test_ranking import Backwards

USER = "ann.personal@example.com"


@pytest.fixture
def engine(make_checkpoint):
    return Recommender(make_checkpoint())


@pytest.fixture
def serve(engine, store):
    """Return a client of a server with settings."""

    def client(kept=store, **settings):
        return TestClient(create_app(engine, "tiny", ServingConfig(allowed_hosts=("testserver",), **settings), kept))

    yield client
    engine.feedback_policy.store = None


def ask(client, **fields):
    answer = client.post("/v1/recommendations", json={"k": 4, "history": ["101"], **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def items_of(answer):
    return [item["item_id"] for item in answer["items"]]


def test_what_a_person_is_shown_is_kept_under_the_id_of_the_answer(serve, store):
    client = serve()
    answer = ask(client, user=USER)
    (kept,) = store.impressions.of(USER)
    assert kept.request_id == answer["request_id"] and list(kept.items) == items_of(answer)
    assert kept.mode == "best" and set(kept.probabilities) == {1.0} and len(kept.model) == 64
    assert ask(client)["request_id"] != answer["request_id"] and store.impressions.count() == 1, "it named nobody"
    client.post("/v1/consent", json={"user": "bob", "consent": {"recommend": False}})
    ask(client, user="bob")
    assert store.impressions.of("bob") == []


def test_a_list_that_cannot_be_kept_is_not_answered(serve, store, monkeypatch):
    def full(*_):
        raise StoreUnavailableError("the disk is full", "try again later")

    monkeypatch.setattr(store.impressions, "add", full)
    answer = serve().post("/v1/recommendations", json={"history": ["101"], "user": USER})
    assert answer.status_code == 503 and "items" not in answer.json() and store.audit.last(1) == []


def test_streams_and_conversations_are_kept_too(serve, store):
    client = serve()
    with client.stream("POST", "/v1/recommendations", json={"k": 2, "user": USER, "stream": True}) as answer:
        text = "".join(answer.iter_text())
    chat = {"messages": [{"role": "user", "content": "a comedy"}], "user": USER, "k": 2, "explain": False}
    told = client.post("/v1/chat/completions", json=chat).json()
    first, second = store.impressions.of(USER)
    assert first.request_id in text and first.mode == "best"
    assert second.request_id == told["id"] and second.mode == "chat"
    assert list(second.items) == [item["item_id"] for item in told["recommendations"]]


def test_exploration_leaves_the_first_ranks_and_keeps_the_probability_of_the_others(serve, engine, store):
    plain = engine.recommend(["101"], k=20, explain=False)
    client = serve(exploration={"from_rank": 2, "temperature": 0.5, "pool": 6})
    for _ in range(8):
        answer = ask(client, user=USER)
        assert any("by chance from rank 2" in note for note in answer["notes"])
        assert not any("may be recommended" in note for note in answer["notes"])
    scores = {item.item_id: item.score for item in plain[:6]}
    lists = store.impressions.of(USER)
    for kept in lists:
        assert kept.items[0] == plain[0].item_id and kept.probabilities[0] == 1 and kept.mode == "explore"
        left = dict(scores)
        for item, probability in zip(kept.items, kept.probabilities, strict=True):
            if item != plain[0].item_id:
                whole = sum(math.exp(score / 0.5) for score in left.values())
                assert probability == pytest.approx(math.exp(left[item] / 0.5) / whole, rel=1e-4)
            del left[item]
    assert len({kept.items for kept in lists}) > 1


def test_a_list_can_be_drawn_again_from_its_id(serve, engine, store):
    setting = {"from_rank": 1, "temperature": 2.0, "pool": 6}
    ask(serve(exploration=setting), user=USER)
    (kept,) = store.impressions.of(USER)
    scores = {item.item_id: item.score for item in engine.recommend(["101"], k=6, explain=False)}
    again = ListPolicy(scores, ExplorationConfig(**setting)).draw(4, generator("list", kept.request_id))
    assert again.items == kept.items and again.probabilities == pytest.approx(kept.probabilities)


def test_a_trace_is_of_the_ranking_itself(serve, engine):
    client = serve(exploration={"from_rank": 1, "temperature": 100.0})
    plain = [item.item_id for item in engine.recommend(["101"], k=4, explain=False)]
    assert all(items_of(ask(client, user=USER, trace=True)) == plain for _ in range(3))


def test_arms_with_other_fusion_weights(serve, engine, store):
    engine.setup.fusion = StoredFusion(
        {"backwards": Backwards()}, {LANGUAGE_MODEL: (1.0, 0.0), "backwards": (1.0, 0.0)}
    )
    arms = [{"name": "alone", "share": 1, "fusion": {"backwards": 0}}]
    usual, client = serve(), serve(experiments=[{"name": "weights", "arms": arms, "shadow": True}])
    alone = items_of(ask(usual, fused=False))
    assert items_of(ask(client, user=USER)) == alone != items_of(ask(usual))
    engine.setup.fusion = StoredFusion(
        {"backwards": Backwards()}, {LANGUAGE_MODEL: (0.0, 0.0), "backwards": (1.0, 0.0)}
    )
    assert items_of(ask(client, user=USER)) != alone, "what changes in the engine changes in the arm"
    with pytest.raises(ConfigError, match="no scorer 'backward'"):
        serve(experiments=[{"name": "w", "arms": [{"name": "a", "share": 1, "fusion": {"backward": 0}}]}])


def test_who_agrees_to_nothing_personal_is_not_tried_on(serve, engine):
    client = serve(exploration={"from_rank": 1, "temperature": 100.0})
    client.post("/v1/consent", json={"user": USER, "consent": {"recommend": False}})
    lists = {tuple(items_of(ask(client, user=USER, history=[]))) for _ in range(5)}
    assert len(lists) == 1


def test_a_rank_for_new_items(serve, engine, store):
    catalogue = engine.catalogue
    name, value = next((n, v[0]) for n, v in catalogue[5].attributes.items() if v)
    new = {item.item_id for item in catalogue if value in item.attributes.get(name, ())}
    setting = {"new_item_slot": 2, "new_item_share": 1.0, "new_items": {name: [value]}}
    client = serve(exploration=setting)
    for _ in range(6):
        assert items_of(ask(client, user=USER))[1] in new
    assert all(0 < kept.probabilities[1] <= 1 and kept.probabilities[0] == 1 for kept in store.impressions.of(USER))
    assert items_of(ask(client, only=["103", "107"], k=2))


def two_arms(**fields):
    hot = {"from_rank": 1, "temperature": 2.0, "pool": 8}
    arms = [{"name": "usual", "share": 0.5}, {"name": "hot", "share": 0.5, "exploration": hot}]
    return {"name": "warmth", "arms": arms, **fields}


def test_arms_stay_with_people_and_what_others_would_have_shown_is_kept(serve, store):
    experiments = [two_arms(shadow=True)]
    arms = {}
    for client in (serve(experiments=experiments), serve(experiments=experiments)):
        for number in range(12):
            ask(client, user=f"user {number}")
    for number in range(12):
        one, other = store.impressions.of(f"user {number}")
        assert one.arms == other.arms
        arms[number] = one.arms["warmth"]
        (told,) = one.others["warmth"].items()
        assert {told[0], arms[number]} == {"usual", "hot"} and len(told[1]) == 4
        if arms[number] == "usual":
            assert all(0 < chance < 1 for chance in told[1]) and set(one.probabilities) == {1.0}
        else:
            assert set(told[1]) <= {0.0, 1.0} and all(0 < chance < 1 for chance in one.probabilities)
    assert min(Counter(arms.values()).values()) >= 2


def test_without_shadow_only_what_costs_nothing_is_kept_of_other_arms(serve, store):
    client = serve(experiments=[two_arms()])
    for number in range(12):
        ask(client, user=f"user {number}")
    kept = [store.impressions.of(f"user {number}")[0] for number in range(12)]
    assert {tuple(one.others) for one in kept if one.arms["warmth"] == "hot"} == {("warmth",)}
    assert {tuple(one.others) for one in kept if one.arms["warmth"] == "usual"} == {()}


def test_a_model_that_is_named_is_not_changed_by_experiments(serve, store):
    client = serve(experiments=[two_arms()])
    assert client.post("/v1/recommendations", json={"k": 2, "model": "tiny:none"}).status_code == 404
    ask(client, user=USER, model="tiny")
    assert store.impressions.of(USER)[0].arms


def test_an_arm_whose_adapter_is_not_there_is_not_served_and_lists_go_on(serve, store, caplog):
    arms = [{"name": "gone", "share": 1, "model": "missing"}]
    client = serve(experiments=[{"name": "adapters", "arms": arms}])
    answer = ask(client, user=USER)
    assert len(answer["items"]) == len(ask(client)["items"]) == 4
    assert caplog.text.count("cannot be served") == 1
    assert store.impressions.of(USER)[0].arms == {}


def test_two_rankings_in_one_list(serve, store, engine):
    arms = [{"name": "one", "share": 0.5}, {"name": "other", "share": 0.5}]
    client = serve(experiments=[{"name": "duel", "method": "interleave", "arms": arms}])
    answer = ask(client, user=USER)
    (kept,) = store.impressions.of(USER)
    assert kept.mode == "interleave" and kept.interleaved == "duel" and sorted(kept.teams) == [0, 0, 1, 1]
    plain = [item.item_id for item in engine.recommend(["101"], k=4, explain=False)]
    assert items_of(answer) == list(kept.items) == plain, "both rank alike"
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"experiments": [{"name": "f", "arms": [{"name": "a", "share": 1, "fusion": {"x": 2}}]}]}, "nothing to fuse"),
        ({"exploration": {"new_item_slot": 1, "new_items": {"zz": ["1"]}}}, "no item has the attribute"),
    ],
)
def test_what_cannot_be_served_is_said_at_the_start(serve, settings, said):
    with pytest.raises((ConfigError, RecommenderError), match=said):
        serve(**settings)
