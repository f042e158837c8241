"""Title cards: colours and bands that follow the content, titles that can be read."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from recommender.data.standin_text import StandinText
from recommender.data.title_cards import CARD_SIZE, draw_card


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(draw_card(text))).convert("RGB"), dtype=float)


def test_colours_tell_the_genre_and_tone_tells_the_year():
    comedy, other_comedy, horror = (
        pixels(StandinText("1", title, (genre,), 1995))[:80].mean((0, 1))
        for title, genre in (("Toy Story", "Comedy"), ("Babe", "Comedy"), ("Scream", "Horror"))
    )
    assert np.abs(comedy - other_comedy).max() < 12
    assert np.abs(comedy - horror).max() > 40
    new, old = (pixels(StandinText("1", "Emma", ("Comedy",), year))[:80] for year in (1998, 1932))
    assert np.ptp(new, axis=2).mean() > 2 * np.ptp(old, axis=2).mean()


def test_each_genre_has_a_band():
    picture = pixels(StandinText("1", "It", ("Comedy", "Horror"), 1990))
    alone = [pixels(StandinText("1", "It", (genre,), 1990))[20:60].mean((0, 1)) for genre in ("Comedy", "Horror")]
    for rows, colour in ((slice(10, 50), alone[0]), (slice(90, 130), alone[1])):
        distances = [np.abs(picture[rows].mean((0, 1)) - other).max() for other in alone]
        assert np.abs(picture[rows].mean((0, 1)) - colour).max() == min(distances)


def test_titles_are_legible():
    """White letters on a dark ground, inside the margins, whatever the length of the title."""
    for title in ("It", "Wallace & Gromit: The Best of Aardman Animation", "Donaudampfschifffahrt " * 9):
        bright = pixels(StandinText("1", title, ("Drama",), None))[120:].min(axis=2) > 200
        assert bright.sum() > 100
        assert not bright[:, :12].any()
        assert not bright[:, -12:].any()


def test_a_card_is_the_same_again_and_as_large_as_stated():
    text = StandinText("1", "Amélie – Le Fabuleux Destin", (), None)
    assert draw_card(text) == draw_card(text)
    assert pixels(text).shape == (CARD_SIZE, CARD_SIZE, 3)


def test_a_title_in_letters_that_cannot_be_drawn_shows_the_id():
    bright = pixels(StandinText("bare", "日本", (), None))[120:].min(axis=2) > 200
    assert bright.sum() > 50
