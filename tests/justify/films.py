"""Five films and what they share, for the tests of justifications."""

from __future__ import annotations

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import (
    ClaimChecker,
    Evidence,
    Influence,
    Style,
)
from recommender.justify.evidence import shared_facts
from recommender.justify.planning import choose_template

FACTS = (
    {"genres": ("Action", "Sci-Fi"), "year": ("1986",), "director": ("James Cameron",)},
    {"genres": ("Horror", "Sci-Fi"), "year": ("1979",), "director": ("Ridley Scott",)},
    {"genres": ("Sci-Fi",), "year": ("1982",), "director": ("Ridley Scott",)},
    {"genres": ("Drama",), "year": ("1986",)},
    {},
)


TITLES = ("Aliens", "Alien", "Blade Runner", "The Mission", "Nothing Known")


CATALOGUE = Catalogue(Item(str(i), title, attributes=f) for i, (title, f) in enumerate(zip(TITLES, FACTS, strict=True)))


CHECKER = ClaimChecker(CATALOGUE)


FILMS = Style("films")


def evidence(item, *others):
    influences = tuple(Influence(other, 1.0) for other in others)
    return Evidence(item, influences, shared_facts(CATALOGUE, item, others))


def plain(evidence, checker, style):
    """The text that needs no language model."""
    return choose_template(evidence, checker, style)[1].text
