"""Answers in words: the numbers and names of a ranking stand in them, in English and in German."""

from __future__ import annotations

import pytest

from recommender import prompts
from recommender.justify import Evidence, Influence, Style, answers
from recommender.justify.counterfactual import Change, Shift, Shortfall
from tests.justify.films import CATALOGUE, FILMS, TITLES

ALIENS, ALIEN, RUNNER, MISSION, UNKNOWN = range(len(TITLES))


def why_not(rank, changes=(), style=FILMS, **more):
    shortfall = Shortfall(ALIENS, rank, -4.0, -3.0, tuple(changes))
    return answers.why_not(CATALOGUE, shortfall, 10, style, **more)


def test_an_item_beyond_the_list_is_placed_and_the_changes_are_named():
    text = why_not(14, [Change(removed=(ALIEN,)), Change(removed=(RUNNER,), added=(MISSION,))])
    assert text.startswith('"Aliens" is at place 14, and the list ends at 10.')
    assert 'if "Alien" was not in your history, or if "Blade Runner" was not in your history and "The Mission"' in text


def test_several_items_of_a_change_have_a_verb_in_the_plural():
    assert '"Alien" and "Blade Runner" were not in your history' in why_not(14, [Change(removed=(ALIEN, RUNNER))])


def test_without_a_change_it_says_that_nothing_helps():
    assert "up to 3 changes of your history, nothing brings it in" in why_not(14)


def test_a_listed_item_has_its_place_and_needs_nothing():
    assert why_not(3) == '"Aliens" is in the list, at place 3.'


def test_a_seen_item_is_not_suggested_whatever_its_rank():
    for rank in (1, 99):
        assert why_not(rank, seen=True) == '"Aliens" is in your history already, and what you know is not suggested.'


def test_unmet_conditions_come_first_and_the_rank_is_the_one_without_them():
    text = why_not(3, barred=["genres must be Drama, and it has Action", "it is among what must be left out"])
    assert text == (
        '"Aliens" does not meet what you asked for: genres must be Drama, and it has Action; it is among what must be left'
        " out. Without that it would be at place 3."
    )
    assert "Even then it would be at place 14" in why_not(14, barred=["no"])


@pytest.mark.parametrize(
    ("kind", "words"),
    [("exclude", "left out"), ("only", "may be shown"), ("hidden", "set aside"), ("refused", "not for you")],
)
def test_each_kind_of_exclusion_has_its_own_words(kind, words):
    text = answers.barred(kind, FILMS)
    assert words in text and text[0].islower() and not text.endswith(".")  # it is a part of a sentence


def test_a_filter_names_what_it_wants_and_what_the_item_has():
    text = answers.barred("filter", FILMS, "release_year", ("1990", "1991"), ("1986",))
    assert text == "release year must be 1990 or 1991, and it has 1986"
    assert answers.barred("filter", FILMS, "genres", ("War",)) == "genres must be War, and it has none"


def test_what_would_differ_is_named():
    moved = Shift((ALIENS, MISSION), (MISSION, RUNNER), ((MISSION, 0.5),))
    assert answers.what_if(CATALOGUE, [ALIEN], moved, FILMS) == (
        'Without "Alien" in your history, "Aliens" would not be listed, and "Blade Runner" would be instead.'
    )
    same = Shift((ALIENS, MISSION), (MISSION, ALIENS), ())
    assert answers.what_if(CATALOGUE, [ALIEN], same, FILMS).endswith("the same 2 would be listed, in another order.")
    still = Shift((ALIENS,), (ALIENS,), ())
    assert answers.what_if(CATALOGUE, [ALIEN], still, FILMS).endswith("the same 1 would be listed.")


def test_the_strongest_influence_comes_with_its_effect():
    evidence = Evidence(ALIENS, (Influence(ALIEN, 1.234), Influence(RUNNER, 0.5)))
    text = answers.rests_on(CATALOGUE, evidence, FILMS)
    assert text.startswith('It rests most on "Alien" and "Blade Runner"') and "by 1.23 nats" in text
    assert answers.rests_on(CATALOGUE, Evidence(ALIENS), FILMS) == "No single thing that you know moves it."


@pytest.mark.parametrize("language", prompts.languages())
def test_every_language_answers_in_one_line(language):
    style = Style("films", language=language)
    evidence = Evidence(ALIENS, (Influence(ALIEN, 1.0),))
    texts = [
        why_not(14, [Change((ALIEN,), (MISSION,))], style),
        answers.what_if(CATALOGUE, [ALIEN], Shift((ALIENS,), (MISSION,), ()), style),
        answers.rests_on(CATALOGUE, evidence, style),
    ]
    for text in texts:
        assert text[0] in '"' or text[0].isupper()
        assert text.endswith(".") and "\n" not in text and "  " not in text and "Alien" in text


def test_a_language_without_answers_is_answered_in_english(monkeypatch):
    monkeypatch.setattr(prompts, "answer_languages", lambda: ("en",))
    assert why_not(3, style=Style("films", language="de")) == why_not(3)
