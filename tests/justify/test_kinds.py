"""Kinds as people name them."""

from __future__ import annotations

import pytest

from recommender.justify.kinds import kind_phrase


@pytest.mark.parametrize(
    ("kinds", "one", "many"),
    [
        (("Drama",), "drama", "dramas"),
        (("Action",), "action film", "action films"),
        (("Comedy", "Romance"), "romantic comedy", "romantic comedies"),
        (("Drama", "Comedy"), "comedy drama", "comedy dramas"),
        (("Thriller", "Action"), "action thriller", "action thrillers"),
        (("Adventure", "Romance"), "romantic adventure film", "romantic adventure films"),
        (("Film-Noir", "Mystery"), "noir mystery", "noir mysteries"),
        (("Children's", "Animation", "Musical"), "animated children's musical", "animated children's musicals"),
        (("Sci-Fi",), "science fiction film", "science fiction films"),
        (("Jazz",), "Jazz film", "Jazz films"),
        (("Jazz", "Drama"), "Jazz and Drama film", "Jazz and Drama films"),
    ],
)
def test_kinds_are_one_noun(kinds, one, many):
    spelled = " and ".join(kinds)
    assert kind_phrase(kinds, "film", spelled, several=False) == one
    assert kind_phrase(kinds, "films", spelled, several=True) == many
