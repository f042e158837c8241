"""The vocabulary: names, values, cues and plain words of a text, each with its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.data.catalogue import Catalogue, Item
from recommender.justify.english import neutral_words
from recommender.justify.vocabulary import Vocabulary, inflections
from tests.justify.films import CATALOGUE

VOCABULARY = Vocabulary(CATALOGUE)
PLAIN = neutral_words("films")


def kinds(text, vocabulary=VOCABULARY):
    return [(span.kind, span.text) for span in vocabulary.spans(text, PLAIN)]


def test_a_sentence_is_cut_into_names_values_cues_words_and_marks():
    text = 'You watched "Alien", a Sci-Fi film directed by Ridley Scott.'
    assert kinds(text) == [
        ("word", "You"),
        ("word", "watched"),
        ("title", "Alien"),
        ("mark", ","),
        ("word", "a"),
        ("value", "Sci-Fi"),
        ("word", "film"),
        ("cue", "directed"),
        ("cue", "by"),
        ("value", "Ridley Scott"),
        ("mark", "."),
    ]


def test_the_longest_name_wins():
    catalogue = Catalogue([Item("1", "Star"), Item("2", "Star Wars"), Item("3", "Star Wars Holiday")])
    spans = list(Vocabulary(catalogue).spans("Try Star Wars Holiday or Star Wars.", PLAIN))
    assert [(span.text, span.items) for span in spans if span.kind == "title"] == [
        ("Star Wars Holiday", frozenset({2})),
        ("Star Wars", frozenset({1})),
    ]


def test_namesakes_are_all_meant():
    catalogue = Catalogue([Item("1", "Hamlet (1948)"), Item("2", "Hamlet (1996)")])
    (span,) = [s for s in Vocabulary(catalogue).spans('"Hamlet"', PLAIN) if s.kind == "title"]
    assert span.items == {0, 1}


@pytest.mark.parametrize("quoted", ['"No Such Film"', "“No Such Film”", "'No Such Film'"])
def test_an_unknown_quotation_is_one_unknown_span(quoted):
    assert ("unknown", "No Such Film") in kinds(f"Try {quoted} now.")


def test_an_apostrophe_within_a_quoted_name_does_not_close_it():
    catalogue = Catalogue([Item("1", "Mr. Holland's Opus"), Item("2", "It's")])
    vocabulary = Vocabulary(catalogue)
    assert ("title", "Mr. Holland's Opus") in kinds("Try 'Mr. Holland's Opus'.", vocabulary)


def test_a_name_in_lower_case_is_no_name_unless_it_is_quoted():
    assert ("unknown", "alien") in kinds("you watched alien too")
    assert ("title", "alien") in kinds('you watched "alien" too')


def test_values_are_known_in_the_plural_and_by_their_synonyms():
    catalogue = Catalogue([Item("1", "One", attributes={"genres": ("Comedy", "Sci-Fi"), "keywords": ("witch",)})])
    vocabulary = Vocabulary(catalogue)
    for word in ("comedies", "Comedy", "comedic", "science fiction", "witches"):
        assert ("value", word) in kinds(f"it is {word}", vocabulary), word
    assert ("unknown", "comedian") in kinds("it is comedian", vocabulary)


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        ("genres", "Comedy", {"Comedies", "comedic"}),
        ("genres", "Musicals", {"Musical"}),
        ("genres", "Children's", {"Children"}),
        ("keywords", "witch", {"witches"}),
        ("keywords", "comedy", {"comedies"}),
        ("year", "1990s", set()),
        ("keywords", "C++", set()),
        ("keywords", "", set()),
    ],
)
def test_inflections_begin_with_the_value_itself(name, value, more):
    spellings = list(inflections(name, value))
    assert spellings[0] == value and more <= set(spellings)
    if not more:
        assert spellings == [value]
    assert ("comedic" in spellings) is (value == "Comedy")  # synonyms belong to kinds only


def test_phrases_of_the_configuration_are_cues():
    catalogue = Catalogue([Item("1", "One", attributes={"rated_by": ("PG",)})])
    vocabulary = Vocabulary(catalogue, {"rated_by": "certified {values}"})
    (cue,) = [span for span in vocabulary.spans("it is certified PG", PLAIN) if span.kind == "cue"]
    assert cue.text == "certified" and cue.roles == {"rated by"}


def test_withholding_forgets_the_year_in_the_names_of_those_items_only():
    catalogue = Catalogue([Item(str(i), f"Film {'AB'[i]}", attributes={"year": ("1990",)}) for i in range(2)])
    vocabulary = Vocabulary(catalogue)
    withheld = {0: frozenset({("year", "1990")})}
    less = vocabulary.withholding(catalogue.withholding(withheld), withheld)
    assert ("title", "Film A (1990)") in kinds('"Film A (1990)"', vocabulary)
    assert ("unknown", "Film A (1990)") in kinds('"Film A (1990)"', less)
    assert ("title", "Film B (1990)") in kinds('"Film B (1990)"', less) and ("title", "Film A") in kinds(
        '"Film A"', less
    )


def test_only_values_with_a_word_of_their_own_can_be_said():
    assert VOCABULARY.sayable("Sci-Fi") and VOCABULARY.sayable("the Arts")
    assert not VOCABULARY.sayable("the same") and not VOCABULARY.sayable("★")


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("Alien sci-FI \"'“”.,()&the 19é"), max_size=60))
def test_spans_lie_in_order_and_spell_the_text(text):
    end = 0
    for span in VOCABULARY.spans(text, PLAIN):
        assert end <= span.start <= span.end <= len(text) and text[span.start : span.end] == span.text
        end = span.end
