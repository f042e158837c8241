"""The caveat of a detailed justification is counted, and is said only where enough is known."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import Style
from recommender.justify.caveat import Caveat, caveat_text, find_caveat
from recommender.justify.facts import facts_of

FACTS = (
    {"genres": ("Drama",), "language": ("English",), "year": ("1995",)},
    {"genres": ("Drama", "War"), "language": ("English",), "year": ("1990",)},
    {"genres": ("Drama",), "language": ("English",), "year": ("1992",)},
    {"genres": ("Drama", "War"), "language": ("German",), "year": ("1981",)},
    {"genres": ("Comedy", "Drama"), "language": ("English",), "year": ("1994",)},
    {"genres": ("Drama",), "language": ("English",), "year": ("1950",)},
    {"genres": ("Drama",), "language": ("English", "French"), "year": ("1993",)},
    {},
)
FILMS = Catalogue(Item(str(n), f"Name{n}", attributes=facts) for n, facts in enumerate(FACTS))
STYLE = Style("films", length="detailed")


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (3, "Mind that it is in German, as nothing in your history is."),
        (4, "Mind that it is a comedy, as nothing in your history is."),
        (5, "Mind that it is from 1950, older than anything in your history."),
    ],
)
def test_what_differs_is_said(item, sentence):
    caveat = find_caveat(FILMS, item, [0, 1, 2])
    assert caveat is not None and caveat_text(caveat, STYLE) == sentence


def test_what_does_not_differ_is_not_and_neither_is_what_is_unknown():
    assert find_caveat(FILMS, 0, [1, 2, 6]) is None
    assert find_caveat(FILMS, 6, [0, 1, 2]) is None  # it may be seen in English
    assert find_caveat(FILMS, 3, []) is None and find_caveat(FILMS, 3, [0, 1]) is None
    assert find_caveat(FILMS, 3, [7, 7, 7]) is None and find_caveat(FILMS, 7, [0, 1, 2]) is None


def test_a_few_of_many_are_counted_and_several_are_not_few():
    assert caveat_text(Caveat("genres", "War", 2, 40), STYLE) == (
        "Mind that it is a war film, as only 2 of 40 in your history are."
    )
    assert "only 1 of 40 in your history is" in caveat_text(Caveat("genres", "War", 1, 40), STYLE)
    found = find_caveat(FILMS, 3, [*[0, 2] * 9, 1, 5])
    assert found == Caveat("language", "German", 0, 20)
    assert find_caveat(FILMS, 1, [*[0, 2] * 9, 3, 3]) == Caveat("genres", "War", 2, 20)
    assert find_caveat(FILMS, 1, [*[0, 2] * 9, 3, 3, 3]) is None


def test_every_caveat_of_random_catalogues_is_true():
    random = np.random.default_rng(0)
    kinds, languages = ["Drama", "War", "Comedy", "Western"], ["English", "German", "French"]
    films = Catalogue(
        Item(
            str(n),
            f"Name{n}",
            attributes={
                "genres": tuple(random.choice(kinds, random.integers(1, 3), replace=False)),
                "language": tuple(random.choice(languages, 1, p=[0.9, 0.05, 0.05])),
                "year": (str(random.integers(1930, 2000)),),
            },
        )
        for n in range(60)
    )
    told = 0
    for _ in range(300):
        item, *history = random.choice(60, int(random.integers(1, 30)), replace=False).tolist()
        caveat = find_caveat(films, item, history)
        if caveat is None:
            continue
        told += 1
        assert caveat.value in facts_of(films, item)[caveat.name]
        if caveat.older:
            assert all(int(facts_of(films, other)["year"][0]) >= int(caveat.value) + 15 for other in history)
        else:
            having = sum(caveat.value in facts_of(films, other)[caveat.name] for other in history)
            assert caveat.having == having <= 0.1 * len(history) and caveat.known == len(history)
    assert told > 30
