"""Patterns: names, values, years and synonyms make no pattern of their own; another thought does."""

from __future__ import annotations

import pytest

from recommender.eval.patterns import PatternReader

READER = PatternReader(["drama", "thriller", "Ridley Scott", "dramas"])
FIRST = 'Because you watched "Alien", try "Aliens" (1986), a thriller.'


@pytest.mark.parametrize(
    "text",
    [
        'Since you saw "Heat", we suggest "Ran" (1985), a drama.',
        'As you chose "Heat" and "Ran", you might like "Alien", a drama.',
        'Because you picked "Heat", our next pick is "Se7en" (1995), a thriller.',
        'Because you watched "Heat", consider "Se7en" (1995), a thriller.',
    ],
)
def test_synonyms_are_one_pattern(text):
    assert READER.pattern(text) == READER.pattern(FIRST)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"A" is a drama, just like "B", which you saw.', '"C" is a thriller, like "D", which you chose.'),
        ('Try "A", which is a drama too.', 'We recommend "B", which is a thriller as well.'),
        ('You saw "A", so try "B": both are dramas.', 'You chose "C", so try "D", as both are dramas.'),
        ('For films from the 1990s, try "A".', 'For films from 1985, try "B".'),
    ],
)
def test_pairs_that_differ_in_words_only(one, other):
    assert READER.pattern(one) == READER.pattern(other)


def test_another_order_or_thought_is_another_pattern():
    texts = [FIRST, 'Try "Aliens", a thriller.', 'Ridley Scott is back with "Aliens".', FIRST.replace("Alien", "Heat")]
    measures = READER.measures(texts)
    assert measures["patterns"] == 3 and measures["texts"] == 4 and measures["commonest_share"] == 0.5
    assert READER.measures([])["patterns"] == 0
