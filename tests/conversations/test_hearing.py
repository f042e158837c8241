"""Hearing: positions stand right behind names, and readings ask about what was named."""

from __future__ import annotations

from recommender.conversations.hearing import asked_about, heard, suggested
from recommender.conversations.wishes import ACTS, ITEM_MEANINGS, VALUE_MEANINGS
from tests.conversations.test_mentions import FINDER

TEXT = "I liked Babe and Platoon but no horror"


def test_positions_stand_behind_names():
    assert heard("user", TEXT, FINDER.find(TEXT)).parts == ("I liked Babe", 4, " and Platoon", 5, " but no horror")
    assert heard("user", "hello", ()).parts == ("hello",)


def test_each_mention_is_asked_about_and_the_message_at_last():
    asked = asked_about(FINDER.find(TEXT))
    assert [(one.text, one.choices) for one in asked] == [
        ("Babe", ITEM_MEANINGS),
        ("Platoon", ITEM_MEANINGS),
        ("horror", VALUE_MEANINGS),
        ("", ACTS),
    ]


def test_only_a_short_suggestion_of_the_assistant_is_reacted_to():
    mentions = FINDER.find("How about Babe? It is a comedy")
    assert [m.text for m in suggested("assistant", mentions)] == ["Babe"]
    assert suggested("user", mentions) == () and suggested("assistant", mentions * 3) == ()
