"""Lists in conversations and for agents: the same chance, the same arms, and the exact probabilities of what was shown."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from recommender.chat import Chat
from tests.server.test_lists import USER, engine, serve, two_arms

__all__ = ["engine", "serve"]  # fixtures
MESSAGES = [{"role": "user", "content": "something like The red story, but no comedy"}]
SETTING = {"from_rank": 2, "temperature": 0.5, "pool": 6}


def say(client, **fields):
    asked = {"messages": MESSAGES, "user": USER, "k": 4, "explain": False, **fields}
    answer = client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def call(client, **arguments):
    """Return what the tool `recommend` gives an agent."""
    params = {"name": "recommend", "arguments": {"history": ["101"], "k": 4, "user": USER, **arguments}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"Accept": "application/json, text/event-stream"}
    told = client.post("/mcp", json=message, headers=headers).json()["result"]
    assert not told["isError"], told
    return told["structuredContent"]


def check_exact(kept, scores, temperature=0.5):
    """Check the probabilities of a list whose first rank is certain, given the scores of its pool, best first."""
    left = dict(scores)
    assert kept.items[0] == next(iter(scores)) and kept.probabilities[0] == 1
    del left[kept.items[0]]
    for item, probability in list(zip(kept.items, kept.probabilities, strict=True))[1:]:
        whole = sum(math.exp(score / temperature) for score in left.values())
        assert probability == pytest.approx(math.exp(left.pop(item) / temperature) / whole, rel=1e-4)


def test_conversations_explore_and_keep_exact_probabilities(serve, engine, store):
    plain = Chat.of(engine).reply(MESSAGES, k=6, explain=False)
    client = serve(exploration=SETTING)
    for _ in range(8):
        told = say(client)
        assert any("by chance from rank 2" in note for note in told["notes"])
        assert [item["rank"] for item in told["recommendations"]] == [1, 2, 3, 4]
        kept = store.impressions.of(USER)[-1]
        assert kept.request_id == told["id"] and kept.mode == "chat"
        assert list(kept.items) == [item["item_id"] for item in told["recommendations"]]
        assert all(item["title"] in told["choices"][0]["message"]["content"] for item in told["recommendations"])
        check_exact(kept, {item.item_id: item.score for item in plain.items})
    assert len({one.items for one in store.impressions.of(USER)}) > 1


def test_a_streamed_answer_is_the_list_that_is_kept(serve, store):
    client = serve(exploration=SETTING | {"from_rank": 1})
    asked = {"messages": MESSAGES, "user": USER, "k": 3, "explain": False, "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        text = "".join(answer.iter_text())
    (kept,) = store.impressions.of(USER)
    places = [text.index(f'"item_id": "{item}"') for item in kept.items]
    assert kept.request_id in text and places == sorted(places) and max(kept.probabilities) < 1


def test_a_rank_for_new_items_in_conversations(serve, engine, store):
    new = {item.item_id for item in engine.catalogue if "1980" in item.attributes["year"]}
    client = serve(exploration={"new_item_slot": 2, "new_item_share": 1.0, "new_items": {"year": ["1980"]}})
    for _ in range(4):
        assert say(client)["recommendations"][1]["item_id"] in new
    only = say(client, messages=[{"role": "user", "content": "films of 1990"}])["recommendations"]
    assert not {item["item_id"] for item in only} & new, "what was said holds for new items too"
    shown = store.impressions.of(USER)
    assert all(0 < one.probabilities[1] < 1 for one in shown[:4]) and set(shown[4].probabilities) == {1.0}


def test_arms_hold_in_conversations_and_for_agents_as_in_lists(serve, store):
    with serve(experiments=[two_arms(shadow=True)]) as client:
        for number in range(10):
            user = f"user {number}"
            client.post("/v1/recommendations", json={"k": 4, "history": ["101"], "user": user})
            say(client, user=user)
            call(client, user=user)
    arms = Counter()
    for number in range(10):
        listed, said, agents = store.impressions.of(f"user {number}")
        assert listed.arms == said.arms == agents.arms
        assert (said.mode, agents.mode) == ("chat", "agent")
        arms[said.arms["warmth"]] += 1
        for one in (said, agents):
            if one.arms["warmth"] == "hot":
                assert max(one.probabilities) < 1 and set(one.others["warmth"]) == {"usual"}
            else:
                assert set(one.probabilities) == {1.0} and 0 < max(one.others["warmth"]["hot"]) < 1
    assert len(arms) == 2


def test_agents_get_lists_with_exact_probabilities(serve, engine, store):
    plain = engine.recommend(["101"], k=6, explain=False)
    with serve(exploration=SETTING) as client:
        for _ in range(6):
            told = call(client)
            kept = store.impressions.of(USER)[-1]
            assert kept.request_id == told["request_id"] and kept.mode == "agent"
            assert list(kept.items) == [item["item_id"] for item in told["items"]]
            assert any("by chance from rank 2" in note for note in told["notes"])
            check_exact(kept, {item.item_id: item.score for item in plain})
    assert len({one.items for one in store.impressions.of(USER)}) > 1


def test_without_consent_or_with_a_named_model_nothing_is_tried(serve, store):
    client = serve(exploration={"from_rank": 1, "temperature": 100.0})
    client.post("/v1/consent", json={"user": "bob", "consent": {"recommend": False}})
    lists = [tuple(item["item_id"] for item in say(client, user="bob")["recommendations"]) for _ in range(4)]
    assert len(set(lists)) == 1 and store.impressions.of("bob") == []
