"""Chips: what counts of a conversation, piece by piece, and that a piece that is taken back has no effect any more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.chat import Chat
from recommender.chat.chips import Understood
from recommender.engine import Recommender
from tests.chat.test_conversation import CATALOGUE, Ranker

#: what may be said, a chip each, and its kind
PHRASES = {
    "only comedy films": "only",
    "no horror": "without",
    "not before 1980": "years",
    "until 1990": "years",
    'something like "Alien"': "like",
    'I have seen "Heat"': "history",
    'I did not like "Babe"': "dislike",
    "something funnier": "mood",
    "something scarier": "mood",
}


@pytest.fixture(scope="module")
def chat():
    vectors = np.random.default_rng(0).standard_normal((len(CATALOGUE), 4))
    return Chat(Ranker(), "films", vectors)


def said(*texts):
    """Return a conversation of these messages, each answered with a sentence."""
    messages = []
    for text in texts:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "Well."}]
    return messages[:-1]


def answered(chat, *texts, **options):
    return chat.reply(said(*texts), explain=False, k=20, **options)


def listed(reply):
    return [(item.item_id, item.score) for item in reply.items], reply.filters, reply.moods, reply.history


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(PHRASES)), min_size=1, max_size=4, unique=True), st.data())
def test_what_is_taken_back_was_never_said(chat, phrases, data):
    first = answered(chat, *phrases)
    assert {chip.kind for chip in first.understood} <= {PHRASES[phrase] for phrase in phrases}
    gone = data.draw(st.sets(st.sampled_from(phrases)))
    alone = {phrase: {(c.kind, c.text) for c in answered(chat, phrase).understood} for phrase in phrases}
    ids = [c.id for c in first.understood if any((c.kind, c.text) in alone[phrase] for phrase in gone)]
    reply = answered(chat, *phrases, dropped=ids)
    assert not {chip.id for chip in reply.understood} & set(ids)
    in_force = {chip.text for chip in first.understood}
    # a later "like" takes the place of an earlier one, which is then no chip and cannot be taken back
    if all(text in in_force for phrase in gone for _, text in alone[phrase]):
        assert listed(reply) == listed(answered(chat, *("films" if phrase in gone else phrase for phrase in phrases)))


@pytest.mark.parametrize("phrase", sorted(PHRASES))
def test_every_kind_of_piece_is_a_chip_that_changes_what_is_listed(chat, phrase):
    reply = answered(chat, phrase)
    (chip,) = reply.understood
    assert chip.kind == PHRASES[phrase] and chip.text
    without = answered(chat, phrase, dropped=[chip.id])
    assert without.understood == () and listed(without) == listed(answered(chat, "films")) != listed(reply)


def test_ids_are_stable_until_the_piece_is_said_again(chat):
    one = answered(chat, "only comedy films").understood[0]
    later = answered(chat, "only comedy films", "until 1990")
    assert one in later.understood
    again = answered(chat, "only comedy films", "until 1990", "only comedy films").understood
    assert one.id not in {chip.id for chip in again} and one.text in {chip.text for chip in again}
    # taken back, and wanted anew
    kept = answered(chat, "only comedy films", "until 1990", "only comedy films", dropped=[one.id])
    assert one.text in {chip.text for chip in kept.understood}
    (new,) = [chip.id for chip in again if chip.text == one.text]
    gone = answered(chat, "only comedy films", "until 1990", "only comedy films", dropped=[new])
    assert one.text not in {chip.text for chip in gone.understood} and gone.filters == ("1990 or earlier",)


@pytest.mark.parametrize("ids", [["nobody"], ["only-0-000000000000"], ["only-9999-"], ["x" * 10_000, ""]])
def test_unknown_ids_change_nothing(chat, ids):
    assert answered(chat, "only comedy films", dropped=ids) == answered(chat, "only comedy films")


def test_places_in_a_list_are_taken_back_too(chat):
    first = chat.reply(said("films"), explain=False, k=3)
    messages = [*said("films"), {"role": "assistant", "content": first.text}]
    messages.append({"role": "user", "content": "more like the second, but I have seen the first one"})
    reply = chat.reply(messages, explain=False)
    kinds = {chip.kind: chip for chip in reply.understood}
    assert set(kinds) == {"like", "seen"} and "0" in reply.history
    kept = chat.reply(messages, explain=False, dropped=[kinds["seen"].id])
    assert [chip.kind for chip in kept.understood] == ["like"] and "0" not in kept.history
    assert "0" in [item.item_id for item in kept.items]


def test_what_is_known_beforehand_is_no_chip(chat):
    reply = answered(chat, 'I have seen "Heat"', history=["3", "2"])
    assert reply.understood == () and reply.history == ("3", "2")


def test_the_pieces_said_anew_are_all_that_counts(chat):
    understood, texts = Understood(CATALOGUE), sorted(PHRASES)
    reading, state, _ = chat._understood(said(*texts), chat.understand(said("films"))[1], understood)
    again = understood.restated(state, ())
    for phrase in ("Comedy", "No Horror", "Alien (1979)", "Heat (1995)", "Babe (1995)", "funnier", "1980", "1990"):
        assert phrase in again


def test_a_model_that_listens_hears_only_what_still_counts(listening_checkpoint):
    engine = Recommender(listening_checkpoint)
    chat, heard = Chat.of(engine), []
    converse = engine.converse

    def listening(messages, history=(), positions=True):
        heard.append(list(messages))
        return converse(messages, history, positions)

    engine.converse = listening
    messages = said("I liked The red story", "no drama, from the 1990s")
    first = chat.reply(messages, explain=False)
    assert first.understood and heard[-1][0] == ("user", "I liked The red story")
    for chip in first.understood:
        reply = chat.reply(messages, explain=False, dropped=[chip.id])
        assert chip.id not in {other.id for other in reply.understood}
        (role, text), *more = heard[-1]
        assert role == "user" and not more
        words = [other.text.split("“")[-1].rstrip("”").removeprefix("no ") for other in reply.understood]
        assert all(word.split(" or ")[0] in text for word in words)
    every = chat.reply(messages, explain=False, dropped=[chip.id for chip in first.understood])
    silent = chat.reply(said("What next?"), explain=False)
    assert every.understood == () and heard[-1] == [("user", "What next?")]
    assert [i.score for i in every.items] == pytest.approx([i.score for i in silent.items], abs=1e-4)
