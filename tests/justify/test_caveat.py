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
    assert caveat_text(Caveat("genres", "War", 2, 40, 40), STYLE) == (
        "Mind that it is a war film, as only 2 of 40 in your history are."
    )
    assert "only 1 of 40 in your history is" in caveat_text(Caveat("genres", "War", 1, 40, 40), STYLE)


def films_of(*languages):
    """A French film, and one for each language; None: it is not known."""
    known = [{"genres": ("Drama",), **({"language": (language,)} if language else {})} for language in languages]
    facts = [{"genres": ("Drama",), "language": ("French",)}, *known]
    return Catalogue(Item(str(n), f"Name{n}", attributes=each) for n, each in enumerate(facts))


@pytest.mark.parametrize(
    ("languages", "said"),
    [
        (["English"] * 20, "as nothing in your history is."),
        (["English"] * 18 + ["French"] * 2, "as only 2 of 20 in your history are."),
        (["English"] * 17 + ["French"] * 3, None),
        (["English"] * 12 + [None] * 8, "as none of 12 in your history whose language is known are."),
        (["English"] * 9 + ["French"] + [None] * 5, "as only 1 of 10 in your history whose language is known is."),
        (["English"] * 9 + [None] * 11, None),
    ],
)
def test_what_is_not_known_is_not_counted_as_different(languages, said):
    films = films_of(*languages)
    caveat = find_caveat(films, 0, [*range(1, len(films)), 1, 1])  # who watched one three times has it once
    assert (caveat is None) == (said is None)
    assert caveat is None or caveat_text(caveat, STYLE) == f"Mind that it is in French, {said}"


def test_nothing_is_older_than_what_has_no_year():
    assert find_caveat(FILMS, 5, [0, 1, 2, 7]) is None


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
