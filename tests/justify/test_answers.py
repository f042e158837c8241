"""Answers in words: the numbers and names of a ranking stand in them, in English and in German."""

from __future__ import annotations

import re

import pytest

from recommender import prompts
from recommender.data.catalogue import Catalogue, Item
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
    assert 'up to 3 changes of your history, nothing brings "Aliens" in' in why_not(14)


def test_a_listed_item_has_its_place_and_needs_nothing():
    assert why_not(3) == '"Aliens" is in the list, at place 3.'


def test_a_seen_item_is_not_suggested_whatever_its_rank():
    for rank in (1, 99):
        assert why_not(rank, seen=True) == '"Aliens" is in your history already, and what you know is not suggested.'


def test_unmet_conditions_come_first_and_the_rank_is_the_one_without_them():
    text = why_not(3, barred=["genres must be Drama, and it has Action", "it is among what must be left out"])
    assert text == (
        '"Aliens" does not meet what you asked for: genres must be Drama, and it has Action; it is among what must be left'
        ' out. Without that "Aliens" would be at place 3.'
    )
    assert 'Even then "Aliens" would be at place 14' in why_not(14, barred=["no"])


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
    assert answers.rests_on(CATALOGUE, evidence, FILMS) == (
        'The score of "Aliens" rests most on "Alien" and "Blade Runner": without "Alien" that score falls by 1.23 nats.'
    )
    assert answers.rests_on(CATALOGUE, Evidence(ALIENS), FILMS) == (
        'No single item of your history raises the score of "Aliens".'
    )


@pytest.mark.parametrize("language", prompts.languages())
def test_a_shapley_value_is_called_so_and_is_no_fall_of_the_score(language):
    style = Style("films", language=language)
    text = answers.rests_on(CATALOGUE, Evidence(ALIENS, (Influence(ALIEN, 1.08),), shapley=True), style)
    assert "Shapley" in text and "1.08" in text and not {"falls", "fällt", "without", "ohne"} & set(text.split())


@pytest.mark.parametrize("shapley", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_pronoun_leaves_open_what_is_meant(shapley, count):
    influences = (Influence(ALIEN, 1.2), Influence(RUNNER, 0.5))[:count]
    text = answers.rests_on(CATALOGUE, Evidence(ALIENS, influences, shapley=shapley), FILMS)
    assert not {"it", "its", "It"} & set(re.findall(r"\w+", text)) and '"Aliens"' in text
    added = why_not(14, [Change(added=(MISSION,)), Change(removed=(ALIEN,), added=(MISSION,))])
    assert not {"it", "its", "It"} & set(re.findall(r"\w+", added))


def test_an_item_that_takes_the_place_of_its_namesake_is_not_told():
    twins = Catalogue(Item(str(n), title) for n, title in enumerate(("Chasing Amy", "Chasing Amy", "Heat", "Fargo")))
    moved = Shift((0, 2), (1, 2), ())
    assert answers.what_if(twins, [3], moved, FILMS).endswith("the same 2 would be listed, in another order.")
    again = Shift((2, 0), (2, 3), ())  # what was forgotten, under another number
    text = answers.what_if(Catalogue([*twins][:3] + [Item("9", "Fargo")]), [3], again, FILMS)
    assert text == 'Without "Fargo" in your history, "Chasing Amy" would not be listed.'


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
