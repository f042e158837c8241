"""The study of conversations: generated messages are read right, and every answer meets what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.chat import Chat
from recommender.chat.reader import Reading
from recommender.engine import Recommender
from recommender.eval.generated_queries import Constraints
from recommender.studies import conversations
from recommender.studies.conversations import conversation_study


@pytest.fixture
def chat(make_checkpoint) -> Chat:
    return Chat.of(Recommender(make_checkpoint()))


def test_answers_meet_what_was_asked_for(chat):
    measured = conversation_study(chat, count=36)
    assert measured["queries"] == 36 and measured["items"] == measured["items_meeting_all"] > 0
    assert measured["read_right"]["seen"] == 1


def test_the_seed_decides_the_messages(chat, monkeypatch):
    texts: list[list[str]] = []
    monkeypatch.setattr(conversations, "measure_answers", lambda queries, *_: texts.append(queries) or {"misread": []})
    for seed in (1, 1, 2):
        conversation_study(chat, count=18, seed=seed)
    assert texts[0] == texts[1] != texts[2]


def test_messages_ask_for_kinds_and_years_of_the_catalogue(chat, monkeypatch):
    queries = []
    monkeypatch.setattr(conversations, "measure_answers", lambda asked, *_: queries.extend(asked) or {"misread": []})
    conversation_study(chat, count=90)
    values = {value for query in queries for value in (query.expected.only, query.expected.without) if value}
    years = {year for query in queries for year in (query.expected.first, query.expected.last) if year}
    assert values == {"comedy", "drama"}
    assert years and all(1980 <= year <= 1999 for year in years)


def test_a_message_that_is_misread_is_listed_and_gets_no_answer(chat, monkeypatch):
    monkeypatch.setattr(chat.reader, "read", lambda text: Reading(first_year=1))
    measured = conversation_study(chat, count=30)
    assert measured["read_right"]["all"] == 0 and measured["items"] == 0
    assert len(measured["misread"]) == conversations.MOST_LISTED


def test_what_was_read_is_put_in_the_terms_of_the_queries():
    reading = Reading(
        first_year=1980,
        last_year=1989,
        years_out=((1970, 1979),),
        only=((("genres", "Drama"),), (("genres", "Comedy"),)),
        without=((("genres", "War"), ("tags", "war")),),
    )
    expected = Constraints(1980, 1989, (1970, 1979), "Comedy + Drama", "War")
    assert conversations._constraints(reading) == expected
    assert conversations._constraints(Reading()) == Constraints()
    assert np.all([value is None for value in vars(Constraints()).values()])
