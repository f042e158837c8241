"""What a list is made of: the weights are those that switching off by hand gives, and the words fit the model."""

import numpy as np
import pytest

from recommender.engine import Recommender, Request, make_request
from recommender.engine.parameters import parameters
from recommender.errors import RecommenderError
from tests.joined import joined_checkpoint

HISTORY = ("103", "107", "111")


@pytest.fixture
def engine(make_checkpoint):
    return Recommender(make_checkpoint())


@pytest.fixture
def joined(catalogue, features, tmp_path):
    return Recommender(joined_checkpoint(tmp_path, catalogue, features))


def normalised(scores):
    scores = scores.astype(np.float64)
    return scores - np.log(np.exp(scores - scores.max()).sum()) - scores.max()


def listed(scores, history, k):
    allowed = np.ones(20, bool)
    allowed[history] = False
    return np.argsort(-np.where(allowed, scores, -np.inf), kind="stable")[:k]


@pytest.mark.parametrize("given", [HISTORY, ()])
def test_weights_are_those_of_switching_off_by_hand(engine, given):
    history, nobody = engine.catalogue.indices(given), np.zeros(0, np.int64)
    scores, popular = engine.score([history], range(20))[0], engine.score([nobody], range(20))[0]
    others = {"popularity": scores - np.maximum(popular, np.log(1 / 20)), "history": popular}
    for modality in engine.model.modalities:
        with engine.model.muted(modality):
            others[modality] = engine.score([history], range(20))[0]
    answer = parameters(engine, Request(history=given, k=5))
    found = {one["name"]: one for one in answer["data"]}
    assert set(found) == set(others) - (set() if given else {"history"})
    first = listed(scores, history, 5)
    for name, one in found.items():
        assert one["changed"] == len(set(first) - set(listed(others[name], history, 5)))
        effect = np.abs(normalised(scores)[first] - normalised(others[name])[first]).mean()
        assert one["effect"] == pytest.approx(effect, abs=1e-3)
        assert one["on"] and one["switchable"] and one["method"] == "switched off and ranked again"
    changes = [(-one["changed"], -one["effect"]) for one in answer["data"]]
    assert changes == sorted(changes) and answer["history"] == len(given) and answer["k"] == 5
    assert answer["personal"]["on"] == bool(given) and answer["personal"]["read"] == len(given)


def test_the_list_is_the_one_that_is_answered(engine):
    for without in ((), ("image", "popularity"), ("history",)):
        request = Request(history=HISTORY, k=4, explain=False, without=without)
        found = {one["name"]: one for one in parameters(engine, request)["data"]}
        now = {item.item_id for item in engine.answer(request).items}
        for name in ("image", "popularity", "history"):
            on = name not in without
            other = tuple(part for part in without if part != name) if not on else (*without, name)
            then = engine.answer(request.model_copy(update={"without": other})).items
            assert found[name]["on"] == on
            if {"history", "popularity"} <= set(other):
                continue  # all that is popular then stands alike
            assert found[name]["changed"] == len(now - {item.item_id for item in then})
            assert found[name]["method"] == f"switched {'off' if on else 'on'} and ranked again"


def test_the_list_of_several_domains_is_the_one_that_is_answered(joined):
    request = make_request(history=["103", "115"], k=6, explain=False, domains={"films": 5, "products": 1})
    told = {part["name"]: part for part in parameters(joined, request)["data"]}
    listed = [item.item_id for item in joined.answer(request).items]
    plain = [item.item_id for item in joined.answer(request.model_copy(update={"domains": {}})).items]
    assert told["domains"]["changed"] == len(set(listed) - set(plain)) > 0
    assert told["domains"]["effect"] is None and "take turns" in told["domains"]["description"]
    assert "filters" not in told
    more = request.model_copy(update={"filters": {"genres": ("comedy",)}})
    found = {part["name"]: part for part in parameters(joined, more)["data"]}
    kept = {item.item_id for item in joined.answer(more).items}
    assert found["filters"]["changed"] == len(kept - set(listed)) > 0


def test_what_says_only_which_items_are_listed_has_no_nats(engine, tmp_path):
    engine.feedback_policy.keep_in(tmp_path / "feedback.jsonl")
    first = engine.recommend(HISTORY, k=1, explain=False)[0].item_id
    from recommender.store.opinions import Feedback

    engine.feedback_policy.take(Feedback(item_id=first, opinion="not for me", user="ann"), "films")
    request = Request(history=HISTORY, k=3, user="ann", filters={"genres": "comedy"}, boosts={"100": 5})
    found = {one["name"]: one for one in parameters(engine, request)["data"]}
    assert found["feedback"]["effect"] is found["filters"]["effect"] is None
    assert found["filters"]["changed"] > 0 and not found["filters"]["switchable"]
    assert found["boosts"]["effect"] > 0


def test_words_follow_the_noun_and_say_what_is_a_standin(engine):
    told = {one["name"]: one for one in parameters(engine, Request(history=HISTORY))["data"]}
    assert "films" in told["collaborative"]["description"] and "items" not in str(told)
    assert "stand-in" not in told["image"]["description"]
    engine.setup.config = engine.config.updated({"data.standin_media": True})
    told = {one["name"]: one for one in parameters(engine, Request(history=HISTORY))["data"]}
    assert "stand-in" in told["image"]["description"] and "stand-in" not in told["text"]["description"]
    assert all("{" not in one["description"] + one["title"] for one in told.values())


def test_a_catalogue_that_cannot_be_scored_whole_says_so(make_checkpoint, monkeypatch):
    monkeypatch.setattr("recommender.engine.popularity.MOST_SCORED", 19)
    engine = Recommender(make_checkpoint(3))
    with pytest.raises(RecommenderError, match="several levels"):
        parameters(engine, Request(history=HISTORY))
    with pytest.raises(RecommenderError, match="popularity"):
        engine.recommend(HISTORY, without=["popularity"])
