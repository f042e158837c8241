"""Rankings without some of their parts, against the same scores made by hand; and that nothing else changes."""

from itertools import combinations

import numpy as np
import pytest

from recommender.chat import Chat
from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import what_if, why_not
from recommender.engine.item_explanation import explain_item
from recommender.engine.parts import off_now, switched_off
from recommender.engine.trace import recorded_answer, replay
from recommender.errors import RecommenderError
from recommender.fusion.stored import LANGUAGE_MODEL, StoredFusion

HISTORY = ("103", "107", "111")
NOBODY = np.zeros(0, np.int64)


class Ordered:
    """A baseline that likes later items, and those next to the history."""

    def scores(self, histories):
        row = np.arange(20, dtype=np.float32)
        return np.stack([row + sum((np.abs(row - h) < 2) * 3 for h in history) for history in histories])


@pytest.fixture(params=[1, 3])
def engine(request, make_checkpoint):
    return Recommender(make_checkpoint(request.param))


def scored(engine, **fields):
    answer = engine.answer(Request(history=HISTORY, k=17, explain=False, **fields))
    return {item.item_id: item.score for item in answer.items}


def by_hand(engine, history, *muted):
    """Return the scores of unseen items with modalities muted by the network itself, past all caches."""
    with engine.model.muted(*muted):
        scores = Recommender.score(engine, [engine.catalogue.indices(history)], range(20))[0]
    return {i.item_id: s for i, s in zip(engine.catalogue, scores.tolist(), strict=True) if i.item_id not in HISTORY}


def alike(one, other):
    return one.keys() == other.keys() and all(one[i] == pytest.approx(other[i], abs=1e-4) for i in one)


def test_without_modalities_the_scores_are_those_of_the_muted_model(engine):
    whole = scored(engine)
    for count in (1, 2, 4):
        for muted in combinations(engine.model.modalities, count):
            found = scored(engine, without=muted)
            assert alike(found, by_hand(engine, HISTORY, *muted)) and not alike(found, whole)
    assert scored(engine) == whole  # to the bit


def test_without_history_what_was_seen_is_only_hidden(engine):
    found = scored(engine, without=["history"])
    assert alike(found, by_hand(engine, ())) and set(found).isdisjoint(HISTORY)
    justified = engine.answer(Request(history=HISTORY, k=3, without=["history"]))
    assert all(item.evidence["influences"] == [] for item in justified.items)
    assert "ranked without history" in justified.notes


@pytest.mark.parametrize("muted", [(), ("image",)])
def test_without_popularity_what_everybody_is_shown_counts_for_nothing(engine, muted):
    with engine.model.muted(*muted):
        scores = engine.score([engine.catalogue.indices(HISTORY), NOBODY], range(20))
    expected = scores[0] - np.maximum(scores[1], np.log(1 / 20))
    found = scored(engine, without=["popularity", *muted])
    assert {i: pytest.approx(expected[engine.catalogue.index(i)], abs=1e-4) for i in found} == found
    both = scored(engine, without=["popularity", "history"])
    assert max(both.values()) <= 1e-4  # nobody is known: nothing is left but what is rarer than one of equals


def test_without_baselines_the_model_ranks_alone(engine):
    alone = scored(engine)
    engine.setup.fusion = StoredFusion({"ordered": Ordered()}, {LANGUAGE_MODEL: (1.0, 0.5), "ordered": (2.0, 0.5)})
    fused = scored(engine)
    assert not alike(fused, alone) and alike(scored(engine, without=["baselines"]), alone)
    popular = engine.fusion.scores(engine.score([NOBODY], range(20)), [NOBODY])[0]
    popular = popular - np.log(np.exp(popular).sum())
    found = scored(engine, without=["popularity"])
    costs = {i: max(popular[engine.catalogue.index(i)], -np.log(20)) for i in found}
    assert alike(found, {i: fused[i] - costs[i] for i in found})


def test_requests_that_switch_off_other_parts_are_ranked_together_and_alike(engine):
    asked = [
        Request(history=HISTORY, k=5, explain=False, without=without)
        for without in ((), ("image",), ("audio", "image"), ("image",), ("popularity",), ("history",))
    ]
    together = engine.answer_many(asked)
    for request, answer in zip(asked, together, strict=True):
        alone = engine.answer(request)
        assert [i.item_id for i in answer.items] == [i.item_id for i in alone.items]
        assert [i.score for i in answer.items] == pytest.approx([i.score for i in alone.items], abs=1e-4)


def test_evidence_and_answers_to_questions_leave_out_the_same(engine):
    request = Request(history=HISTORY, k=4, without=["image", "popularity"])
    listed = engine.answer(request).items
    history = engine.catalogue.indices(HISTORY)
    item = engine.catalogue.index(listed[0].item_id)
    with engine.model.muted("image"):
        without_one = engine.score([history, *(np.delete(history, n) for n in range(3))], [item])[:, 0]
    effects = {engine.catalogue[int(h)].item_id: without_one[0] - without_one[n + 1] for n, h in enumerate(history)}
    for influence in listed[0].evidence["influences"]:
        assert influence["effect"] == pytest.approx(effects[influence["item_id"]], abs=1e-3)
    explained = explain_item(engine, request, listed[0].item_id)
    assert explained["score"] == pytest.approx(listed[0].score, abs=1e-4) and "image" not in explained["contributions"]
    for rank, one in enumerate(listed, 1):
        answer = why_not(engine, request, one.item_id)
        assert answer["listed"] and answer["rank"] == rank and answer["score"] == pytest.approx(one.score, abs=1e-4)
    changed = what_if(engine, request, [HISTORY[0]])
    assert [one["item_id"] for one in changed["before"]] == [one.item_id for one in listed]
    unknown = why_not(engine, request.model_copy(update={"without": ("history",), "k": 1}), "100")
    assert unknown["changes"] == []
    with pytest.raises(RecommenderError, match="history is switched off"):
        what_if(engine, request.model_copy(update={"without": ("history",)}), [HISTORY[0]])


def test_a_trace_of_a_request_without_parts_replays(engine):
    request = Request(history=HISTORY, k=2, without=["audio", "popularity", "history"])
    assert replay(engine, recorded_answer(engine, request)) == []


def test_what_the_model_has_not_is_refused(engine):
    with pytest.raises(RecommenderError, match="knowledge cannot be switched off") as refused:
        engine.answer(Request(without=["knowledge"]))
    assert "image" in refused.value.hint and "popularity" in refused.value.hint
    with pytest.raises(RecommenderError, match="baselines cannot be switched off"):
        engine.recommend([], without=["baselines"])
    with pytest.raises(RecommenderError, match="without"):
        engine.recommend([], without=["pictures"])


def test_a_switch_is_off_again_behind_its_block():
    assert not off_now()
    with switched_off(["image"]):
        assert off_now() == {"image"}
    assert not off_now()


def test_a_conversation_leaves_out_the_same(make_checkpoint):
    engine = Recommender(make_checkpoint())
    chat, messages = Chat.of(engine), [{"role": "user", "content": "some comedy"}]

    def listed(**options):
        return [(i.item_id, i.score) for i in chat.reply(messages, HISTORY, 4, False, **options).items]

    def expected(history, costs=0.0, *muted):
        with engine.model.muted(*muted):
            scores = engine.score([engine.catalogue.indices(history)], range(20))[0] - costs
        open_ones = [n for n, i in enumerate(engine.catalogue) if i.item_id not in HISTORY and n % 2 == 0]
        best = sorted(open_ones, key=lambda n: -scores[n])[:4]
        return [(engine.catalogue[n].item_id, pytest.approx(scores[n], abs=1e-4)) for n in best]

    assert listed() == expected(HISTORY)
    assert listed(without=["image"]) == expected(HISTORY, 0.0, "image")
    assert listed(without=["history"]) == expected(())
    costs = np.maximum(engine.score([NOBODY], range(20))[0], -np.log(20))
    assert listed(without=["popularity"]) == expected(HISTORY, costs)
