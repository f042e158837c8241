"""Languages: another one is named where a message shows it, and short or mixed ones are not guessed at."""

from __future__ import annotations

import pytest

from recommender.chat.languages import foreign_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("hola, quiero una película divertida", "Spanish"),
        ("ich möchte bitte einen lustigen Film sehen", "German"),
        ("je cherche un film drôle pour ce soir", "French"),
        ("日本の映画が見たい", "Japanese"),
        ("я хочу посмотреть комедию", "Russian"),
        ("I like scary movies", None),
        ("films by Hitchcock", None),
        ("mind-bending", None),
        ("no horror", None),
        ("hello", None),
        ("", None),
        ("12345 !!!", None),
    ],
)
def test_which_language(text, language):
    assert foreign_language(text, ("en",)) == language


def test_a_language_that_is_read_is_not_foreign():
    assert foreign_language("ich möchte bitte einen lustigen Film sehen", ("en", "de")) is None
