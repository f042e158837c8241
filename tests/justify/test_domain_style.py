"""The noun of an item of a joined catalogue is that of its domain, if nothing else is spoken of."""

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import Evidence, Style
from recommender.justify.domain_style import style_about
from recommender.justify.evidence import Influence

CATALOGUE = Catalogue(
    Item(title, title, attributes={"domain": (domain,)} if domain else {})
    for title, domain in [("Heat", "films"), ("Alien", "films"), ("Soap", "products"), ("Thing", "")]
)


@pytest.mark.parametrize(
    ("evidence", "noun"),
    [
        (Evidence(0), "films"),
        (Evidence(0, (Influence(1, 1.0),)), "films"),
        (Evidence(2), "products"),
        (Evidence(0, (Influence(2, 1.0),)), "films and products"),
        (Evidence(0, companions=((2, 9),)), "films and products"),
        (Evidence(3), "films and products"),
    ],
)
def test_the_noun_is_that_of_all_that_is_spoken_of(evidence, noun):
    assert style_about(Style("films and products"), CATALOGUE, evidence).noun == noun


def test_another_noun_stays():
    assert style_about(Style("gifts"), CATALOGUE, Evidence(0)).noun == "gifts"
    assert style_about(Style("gifts and songs"), CATALOGUE, Evidence(0)).noun == "gifts and songs"
