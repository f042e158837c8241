"""The line of what was understood, and conditions that are given up so that there is a list."""

from __future__ import annotations

from recommender.chat.dialogue_state import DialogueState
from recommender.chat.reader import Reader
from recommender.chat.telling import dropped_note, relaxed, understood_line
from tests.conversations.test_making import CATALOGUE

READER = Reader(CATALOGUE)


def after(text):
    reading = READER.read(text)
    return reading, DialogueState().after(reading, (), set(), 5)


def test_everything_that_counts_is_in_the_line():
    reading, state = after("I liked The Baker, a comedy please, no horror")
    line = understood_line(CATALOGUE, state, reading)
    assert line.startswith("Understood: ") and line.endswith(".") and "\n" not in line
    assert "The Baker (1970)" in line and "Comedy" in line and "Horror" in line


def test_nothing_understood_says_nothing():
    reading, state = after("hello")
    assert understood_line(CATALOGUE, state, reading) == ""


def test_what_can_be_met_is_kept():
    _, state = after("a comedy from the 1970s")
    assert relaxed(CATALOGUE, state) == (state, ())


def test_the_condition_that_stands_in_the_way_is_left_out_and_told():
    _, state = after("a comedy from 1990 or later")
    kept, dropped = relaxed(CATALOGUE, state)
    assert kept.allowed(CATALOGUE).any() and len(dropped) == 1
    note = dropped_note(dropped, [told for told, _ in kept.parts()], "films")
    assert dropped[0] in note and note.startswith("None of the films here")
