"""The independent reading of justifications, and its measures."""

from __future__ import annotations

import pytest

from recommender.eval.grounding import Grounding, Subject, feature_metrics, groundedness, variety, wordings

ALIENS = Subject(frozenset({"Aliens"}), frozenset({"Sci-Fi", "Action"}), frozenset({1986}))
ALIEN = Subject(frozenset({"Alien"}), frozenset({"Sci-Fi", "Horror"}), frozenset({1979}))
READER = Grounding({"Sci-Fi", "Action", "Horror", "Drama"})
TRUE = 'Because you watched "Alien", try "Aliens" (1986), which is a Sci-Fi film too.'


def false(sentence):
    return [claim.kind for claim in READER.claims(sentence, ALIENS, [ALIEN]) if not claim.true]


def test_a_true_sentence_has_no_false_claim():
    assert false(TRUE) == [] and len(READER.claims(TRUE, ALIENS, [ALIEN])) >= 5


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('"Alien"', '"Heat"', "name"),
        ("(1986)", "(1987)", "year"),
        ("Sci-Fi", "Horror", "value"),
        ("Sci-Fi film", "film from the 1980s", "year"),
        ('watched "Alien"', 'watched "Aliens"', "watched"),
        ('"Aliens" (1986)', '"Alien" (1979)', "recommended"),
    ],
)
def test_what_is_false_is_found(old, new, kind):
    assert kind in false(TRUE.replace(old, new))


@pytest.mark.parametrize(
    "sentence",
    [
        'Because you watched "Alien", "Aliens" (1986) is a good match.',
        'You watched "Alien", so "Aliens" (1986) is an Action film that may suit you.',
        'You watched "Alien" from 1979, so "Aliens" (1986) is our next pick.',
        'As you watched "Alien" and "Alien", try "Aliens", which is an Action film.',
        '"Aliens" is a Sci-Fi film as you saw "Alien", which is a Horror film.',
    ],
)
def test_what_is_said_of_one_need_not_hold_for_another(sentence):
    assert false(sentence) == []


@pytest.mark.parametrize(
    "sentence",
    [
        'You watched "Aliens", so try "Alien".',
        'Because you watched "Alien" and "Aliens", "Aliens" is a good match.',
        'You watched "Alien", so "Aliens" is an Action film too.',
        'You watched Horror films like "Alien", so try "Aliens" (1986).',
        '"Aliens", which is a Horror film, fits "Alien".',
        'Like "Alien", which you watched, "Aliens" is an Action film: both are Action films.',
        '"Aliens" and "Alien" are Action films.',
        '"Aliens" (1986) is an Action film, just like "Alien", which you watched.',
    ],
)
def test_what_is_said_of_several_must_hold_for_all(sentence):
    assert false(sentence)


def test_groundedness_counts_claims():
    told = groundedness([READER.claims(s, ALIENS, [ALIEN]) for s in (TRUE, TRUE.replace("1986", "1990"))])
    assert told["claims"] - told["true"] == 1 == told["sentences_with_a_false_claim"] and told["sentences"] == 2


def test_variety_sees_through_names():
    same = ['Try "Heat" (1995).', 'Try "Alien" (1979).', "Something else."]
    told = variety(same)
    assert told["unique_sentence_ratio"] == 1 and told["different_wordings"] == pytest.approx(2 / 3)
    assert variety(["a b", "a b"])["distinct_2"] == 0.5


def test_features_by_hand():
    told = feature_metrics(
        ["a Drama film", "a Drama and War film", "nothing"], [["Drama"], ["Drama", "War"], ["Action"]]
    )
    assert told == {"fmr": pytest.approx(2 / 3), "fcr": pytest.approx(2 / 3), "div": pytest.approx(1 / 3)}


def test_groundedness_of_nothing_is_no_division_by_zero():
    assert groundedness([]) == {"sentences": 0, "claims": 0, "true": 0, "share": 0, "sentences_with_a_false_claim": 0}
    assert variety([])["unique_sentence_ratio"] == 0 and feature_metrics([], [])["div"] == 0


def test_a_catalogue_without_values_still_has_names_and_years():
    claims = Grounding(set()).claims(TRUE, ALIENS, [ALIEN])
    assert {claim.kind for claim in claims} == {"name", "recommended", "year", "watched", "offered"}


def test_the_longest_value_is_read_first():
    item = Subject(frozenset({"It"}), frozenset({"Film-Noir"}), frozenset())
    claims = Grounding({"Film", "Film-Noir"}).claims('"It" is a Film-Noir piece', item, [])
    assert [claim.text for claim in claims if claim.kind == "value"] == ["Film-Noir"]


def test_wordings_hide_names_and_years():
    assert wordings(['Try "Heat" (1995), a film from 1995.']) == ("Try … , a film from 0.",)


RUNNER = Subject(frozenset({"Blade Runner"}), frozenset({"Sci-Fi"}), frozenset({1982}))


def false_of_others(sentence, *together, reader=READER):
    claims = reader.claims(sentence, ALIENS, [ALIEN, RUNNER], together)
    return [claim.kind for claim in claims if not claim.true]


@pytest.mark.parametrize(
    "sentence",
    [
        'Many who watched "Alien" also watched "Aliens" (1986), an Action film.',
        'Many people who saw "Alien" or "Blade Runner" from your history also saw "Aliens" (1986).',
        'Of those who chose "Alien", many also chose "Aliens".',
        '"Aliens" (1986), an Action film, is here because many others who saw "Alien" also saw it.',
        'You watched "Alien" and "Blade Runner", and many who watched either of them also watched "Aliens".',
        '12 people who watched "Alien" also watched "Aliens".',
        'Try "Aliens": 12 people who watched "Alien" also watched it.',
    ],
)
def test_what_others_did_is_compared_with_the_counts(sentence):
    assert false_of_others(sentence, 12, 7) == []
    assert false_of_others(sentence) == ["crowd"] == false_of_others(sentence, 4, 7)


@pytest.mark.parametrize(
    "sentence",
    [
        'Everyone who watched "Alien" also watched "Aliens".',
        'Most people who watched "Alien" also watched "Aliens".',
        'Those who watched "Alien" also watched "Aliens".',
        'Of those who watched "Alien", most also watched "Aliens".',
        'Many who watched "Alien" and "Blade Runner" also watched "Aliens".',
        '13 people who watched "Alien" also watched "Aliens".',
        '12 people who watched "Alien" or "Blade Runner" also watched "Aliens".',
        'Many who watched "Aliens" also watched "Alien".',
        'Many people love "Aliens", and you watched "Alien".',
        'You watched "Alien", and everybody watched "Aliens".',
        'Some who watched "Alien" also watched "Aliens".',
        'Many who watched "Alien" also watched "Aliens" (1986), and "Blade Runner".',
        'You watched "Alien": many who watched "Blade Runner" also watched it, so try "Aliens".',
    ],
)
def test_what_nobody_counted_of_others_is_false(sentence):
    assert "crowd" in false_of_others(sentence, 12, 12)


def test_those_who_rated_high_liked_it():
    sentence = 'You loved "Alien", so try "Aliens".'
    assert false_of_others(sentence) == ["liked"]
    assert false_of_others(sentence, reader=Grounding(set(), liked=True)) == []
    assert false_of_others('If you liked "Alien", try "Aliens".') == []


def test_values_that_sound_like_people_are_values():
    reader = Grounding({"Many People"})
    item = Subject(frozenset({"Aliens"}), frozenset({"Many People"}), frozenset())
    claims = reader.claims('You saw "Alien", so try "Aliens", a film by Many People.', item, [ALIEN])
    assert all(claim.true for claim in claims)
