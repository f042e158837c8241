"""Broken English, tautologies and repeated titles are refused; what people write is not."""

from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import ClaimChecker, Evidence, Influence
from recommender.justify.evidence import shared_facts

FACTS = (
    {"genres": ("Action", "Thriller"), "year": ("1986",), "director": ("Ann Lee",), "cast": ("Bob Ray", "Cy Dee")},
    {"genres": ("Action", "Thriller"), "year": ("1979",), "director": ("Ann Lee",), "cast": ("Bob Ray", "Cy Dee")},
    {"genres": ("Action", "Drama"), "year": ("1982",), "director": ("Ann Lee",)},
    *({"genres": ("Comedy",), "year": (str(1990 + n),)} for n in range(12)),
)
CATALOGUE = Catalogue(Item(str(n), f"Name{n}", attributes=facts) for n, facts in enumerate(FACTS))
CHECKER = ClaimChecker(CATALOGUE)
GIVEN = Evidence(0, (Influence(1, 1.0), Influence(2, 0.5)), shared_facts(CATALOGUE, 0, [1, 2]))

GOOD = [
    'Because you watched "Name1", try "Name0" (1986), an action film directed by Ann Lee.',
    '"Name1" and "Name2" in your history lead to "Name0": all of them are action films directed by Ann Lee.',
    'You saw "Name1", so you might like "Name0", as both are thrillers directed by Ann Lee.',
    'Ann Lee, who directed "Name1", also directed "Name0" (1986).',
    'Bob Ray and Cy Dee, who star in "Name1", which you watched, also star in "Name0".',
    'Bob Ray stars in "Name1", which you watched, and "Name0" (1986).',
    '"Name0" (1986), a thriller directed by Ann Lee, is here because you watched "Name1".',
    'If you like more thrillers with Bob Ray such as "Name1", we suggest "Name0".',
    'For more films with Bob Ray after "Name1", our next pick is "Name0".',
    'Like "Name1", which you watched, "Name0" stars Bob Ray, so it might suit you.',
    'You watched "Name1"; "Name0" is a thriller with Bob Ray too.',
    '"Name0" (1986), a thriller directed by Ann Lee, features Bob Ray, just like "Name1", which you watched.',
    'You watched "Name1", so try "Name0" (1986), a thriller: both feature Bob Ray and Cy Dee.',
    'You watched "Name1", so "Name0" is our next pick: both are thrillers directed by Ann Lee.',
    'You watched "Name1", so "Name0" (1986) is a good match: both are thrillers directed by Ann Lee.',
]
BROKEN = [
    'Because you "Name1", try "Name0" (1986), an action film directed by Ann Lee.',
    'Because you watched "Name1", "Name0" (1986), an action film directed by Ann Lee.',
    'You saw "Name1", so "Name0", an action film directed by Ann Lee.',
    'You saw "Name1", so you might "Name0", an action film directed by Ann Lee.',
    'You saw "Name1", so you might like, an action film directed by Ann Lee, "Name0".',
    'You saw "Name1", so try "Name0", which an action film directed by Ann Lee.',
    'You saw "Name1", so try "Name0", as both directed by Ann Lee.',
    'You saw "Name1", so try "Name0": both action films directed by Ann Lee.',
    '"Name0" a thriller directed by Ann Lee, like "Name1", which you saw.',
    'You saw "Name1"; "Name0", a thriller directed by Ann Lee too.',
    'You saw "Name1", so try "Name0", a action film directed by Ann Lee.',
    'You saw "Name1", so try "Name0", an thriller directed by Ann Lee.',
    'You saw "Name1", so try "Name0": both are a thriller directed by Ann Lee.',
    'You saw "Name1", so try "Name0": both is thrillers directed by Ann Lee.',
    'You saw "Name1", so try "Name0": both are thriller directed by Ann Lee.',
    'You saw "Name1", so try "Name0", which is thriller directed by Ann Lee.',
    'You saw "Name1", so try "Name0", a thrillers directed by Ann Lee.',
    '"Name1" and "Name2" in your history leads to "Name0": all of them are films directed by Ann Lee.',
    '"Name0" are a thriller directed by Ann Lee, like "Name1", which you saw.',
    'Ann Lee, who directed "Name1", which you saw, also also directed "Name0".',
    'You saw "Name1", so try "Name0", a thriller thriller directed by Ann Lee.',
    'For more thriller with Bob Ray like "Name1", try "Name0".',
    'Bob Ray and Cy Dee stars in "Name1", which you watched, and "Name0".',
    'Our suggestion are "Name0", a thriller directed by Ann Lee, since you saw "Name1".',
    'You saw "Name1", so try "Name0", a film with.',
    'You saw "Name1", so "Name0" (1986) is a thriller directed by Ann Lee.',
    'You saw "Name1", so "Name0", a thriller, was directed by Ann Lee.',
    'You saw "Name1", so "Name0" (1986), a film directed by Ann Lee, is a thriller too.',
    'You saw "Name1", so as well, "Name0" is a thriller directed by Ann Lee as well.',
    'You saw "Name1", so try "Name0", a thriller: both features Bob Ray.',
    '"Name0", a thriller directed by Ann Lee, feature Bob Ray, just like "Name1", which you watched.',
    'Because you saw "Name1", "Name0" is a good match because it is a thriller directed by Ann Lee.',
    'You saw "Name1", so try "Name0": both are films part of thrillers directed by Ann Lee.',
    'You saw films with "Name1" and "Name2", so you may enjoy "Name0", a thriller directed by Ann Lee.',
    'You may enjoy "Name0" (1986), a thriller directed by Ann Lee, many others who saw "Name1" also saw it.',
    '"Name0" is a good match: you chose "Name1" and "Name2", and it is a thriller directed by Ann Lee.',
    'Given "Name1" in your history, we recommend "Name0" as a thriller directed by Ann Lee.',
    'You might enjoy "Name0" (1986), a thriller directed by Ann Lee next to "Name1" and "Name2".',
    # tautologies and titles named twice
    '"Name0" is like "Name1" in your history, like "Name1": both are thrillers with Bob Ray.',
    '"Name0", a thriller with Bob Ray, is like "Name0".',
    'You saw "Name1" and "Name1", so try "Name0", a thriller directed by Ann Lee.',
    'You saw "Name1", so try "Name0" "Name0", a thriller directed by Ann Lee.',
    'You saw "Name1", so try "Name0": both are thrillers, and both are thrillers by Ann Lee.',
]


@pytest.mark.parametrize("sentence", GOOD)
def test_good_english_passes(sentence):
    verdict = CHECKER.check(sentence, GIVEN, "films")
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize("sentence", BROKEN)
def test_broken_english_and_repetition_are_refused(sentence):
    assert not CHECKER.check(sentence, GIVEN, "films").ok


EMPTY = [
    'Because you watched "Name1", try "Name0".',
    '"Name0" (1986) may suit you since you watched "Name1".',
    'You watched "Name2", so try "Name0": both are from the 1980s.',
    'You watched "Name2", so try "Name0", a film from 1986.',
]


@pytest.mark.parametrize("sentence", EMPTY)
def test_vacuous_sentences_are_refused_where_something_is_known(sentence):
    verdict = CHECKER.check(sentence, GIVEN, "films")
    assert not verdict.ok and verdict.reason.startswith("vacuous")


def test_what_holds_for_many_is_refused_where_more_is_known():
    crowd = Catalogue(
        Item(str(n), f"Name{n}", attributes={"genres": ("Comedy",), "director": (f"Dir{'ABCDEFGH'[n // 2]} Ames",)})
        for n in range(16)
    )
    given = Evidence(0, (Influence(1, 1.0),), shared_facts(crowd, 0, [1]))
    checker = ClaimChecker(crowd)
    assert "too many" in checker.check('You saw "Name1", so try "Name0": both are comedies.', given, "films").reason
    assert checker.check('You saw "Name1", so try "Name0": both were directed by DirA Ames.', given, "films").ok


def test_where_nothing_is_known_nothing_need_be_said():
    bare = Catalogue([Item("1", "Alpha"), Item("2", "Beta")])
    given = Evidence(0, (Influence(1, 1.0),))
    assert ClaimChecker(bare).check('Because you watched "Beta", try "Alpha".', given, "films").ok


def test_it_is_no_word_for_one_of_two():
    companions = ((1, 9), (2, 9))
    given = Evidence(0, (Influence(1, 1.0), Influence(2, 0.5)), companions=companions)
    told = 'You watched "Name1" and "Name2", and many who watched {} also watched "Name0" (1986), a thriller.'
    assert CHECKER.check(told.format("either of them"), given, "films").ok
    assert not CHECKER.check(told.format("it"), given, "films").ok
