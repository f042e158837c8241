"""Answers on one item: what the catalogue says, and nothing where it says nothing."""

from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify.fact_answers import TOPICS, fact_answer
from recommender.justify.style import Style

FULL = Item(
    "1",
    "Fargo (1996)",
    text='A salesman hires two crooks. "It goes wrong." A police chief follows them. ' + "More happens. " * 40,
    attributes={
        "genres": ("Crime", "Drama"),
        "director": ("Joel Coen",),
        "cast": ("Frances McDormand", "William H. Macy"),
        "writer": ("Ethan Coen",),
        "runtime": ("98",),
        "rated": ("R",),
        "language": ("English",),
        "country": ("USA",),
    },
)
CATALOGUE = Catalogue(
    [FULL, Item("2", "Bare"), Item("3", "Kids (1990)", attributes={"genres": ("Children's",), "rated": ("G",)})]
)


@pytest.mark.parametrize(
    ("topic", "answer"),
    [
        ("director", '"Fargo (1996)" was directed by Joel Coen.'),
        ("cast", 'Frances McDormand and William H. Macy are in "Fargo (1996)".'),
        ("writer", '"Fargo (1996)" was written by Ethan Coen.'),
        ("year", '"Fargo (1996)" is from 1996.'),
        ("runtime", '"Fargo (1996)" runs for 98 minutes.'),
        ("audience", '"Fargo (1996)" is not for children: it is rated R.'),
        ("kind", '"Fargo (1996)" is listed as Crime and Drama.'),
        ("language", '"Fargo (1996)" is in English.'),
        ("country", '"Fargo (1996)" is from USA.'),
        ("artist", 'I do not know who performs "Fargo (1996)".'),
    ],
)
def test_what_is_known(topic, answer):
    assert fact_answer(CATALOGUE, 0, topic, Style("films")) == answer


def test_a_description_is_quoted_in_whole_sentences():
    told = fact_answer(CATALOGUE, 0, "about", Style("films"))
    assert told.startswith('"Fargo (1996)" is of 1996, Crime and Drama, by Joel Coen, with Frances McDormand and')
    assert "Its description says: \"A salesman hires two crooks. 'It goes wrong.'" in told and len(told) < 620
    assert told.endswith('happens."')


@pytest.mark.parametrize("topic", TOPICS)
def test_what_is_not_known_is_said(topic):
    told = fact_answer(CATALOGUE, 1, topic, Style("films"))
    assert "I do not know" in told or "no description" in told
    assert "None" not in told and '"Bare"' in told


def test_children_and_german():
    assert (
        fact_answer(CATALOGUE, 2, "audience", Style("films"))
        == '"Kids (1990)" should be fine for children: it is rated G.'
    )
    assert (
        fact_answer(CATALOGUE, 0, "director", Style("films", language="de")) == 'Regie bei "Fargo (1996)": Joel Coen.'
    )
