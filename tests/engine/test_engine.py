"""What every engine answers alike: groups of requests, filters, reasons one by one; and how an engine is opened."""

import threading

import pytest

from recommender.engine import Recommender, Request, open_engine
from recommender.errors import ConfigError, RecommenderError


@pytest.fixture
def engine(make_checkpoint):
    return Recommender(make_checkpoint())


def test_a_bad_request_spoils_no_other_of_its_group(engine):
    asked = [Request(history=("103",), k=k, explain=False) for k in (2, 99, 3)] + [Request(history=("no",))]
    first, second, third, fourth = engine.answer_many(asked)
    assert [len(answer.items) for answer in (first, second, third)] == [2, 19, 3]
    assert "19 items may be recommended, 99 were asked for" in second.notes and isinstance(fourth, RecommenderError)
    assert [i.item_id for i in first.items] == [i.item_id for i in engine.answer(asked[0]).items]


def test_filters_are_met_and_an_impossible_one_is_named(engine):
    answer = engine.answer(Request(k=5, explain=False, filters={"genres": "COMEDY", "year": ["1990"]}))
    for item in answer.items:
        entry = engine.catalogue[engine.catalogue.index(item.item_id)]
        assert entry.attributes["genres"] == ("comedy",) and entry.attributes["year"] == ("1990",)
    with pytest.raises(RecommenderError, match="no item has 'western'"):
        engine.answer(Request(k=5, filters={"genres": "western"}))
    with pytest.raises(RecommenderError, match="no item has the attribute 'genre'"):
        engine.answer(Request(k=5, filters={"genre": "comedy"}))


def test_reasons_come_in_order_and_end_when_nobody_waits(engine):
    request = Request(history=("103", "107"), k=6, explain=False)
    items = engine.answer(request).items
    told = list(engine.stream_justifications(request, items))
    assert [item.item_id for item in told] == [item.item_id for item in items]
    assert all(item.justification for item in told)
    stop, begun = threading.Event(), []
    for item in engine.stream_justifications(request, items, stop):
        begun.append(item)
        stop.set()
    assert len(begun) == engine.written_at_once


def test_ranking_passes_between_two_tokens_of_a_text(make_checkpoint, config):
    engine = Recommender(make_checkpoint(settings=config.updated({"justify.max_new_tokens": 4000})))
    engine.tokenizer.eos_token_id = 0  # the tiny model never writes it: the text would take minutes
    stop = threading.Event()
    writer = threading.Thread(target=lambda: engine.write(["red film"], stop=stop))
    writer.start()
    try:
        for _ in range(3):
            assert len(engine.recommend(["103"], k=3, explain=False)) == 3
        assert writer.is_alive()
    finally:
        stop.set()
        writer.join(timeout=20)
    assert not writer.is_alive()


def test_an_unknown_engine_is_one_clear_error():
    with pytest.raises(ConfigError, match="unknown engine 'embeded'") as error:
        open_engine("embeded", "anywhere")
    assert "embedded" in error.value.hint
