"""Styles: languages and lengths that there are, and those that there are not."""

from __future__ import annotations

import re

import pytest

from recommender.config import Config
from recommender.errors import ConfigError
from recommender.justify import (
    Style,
    justify,
)
from tests.justify.films import CATALOGUE, CHECKER, evidence, plain


def test_another_language_is_a_file():
    german = Style("films", language="de")
    sentence = plain(evidence(0, 1), CHECKER, german)
    assert '"Aliens" (1986)' in sentence and "Sci-Fi" in sentence and not re.search(r"\b(you|because|try)\b", sentence)
    justification = justify(CATALOGUE, [evidence(0, 1)], _never, CHECKER, german)[0]
    assert justification.source == "plain" and justification.text == sentence


def _never(prompts, names=None):
    raise AssertionError("asked")


def test_an_unknown_language_or_length_is_an_error_that_names_the_known_ones():
    with pytest.raises(ConfigError, match="xx") as found:
        Style(language="xx")
    assert "de, en" in (found.value.hint or "")
    with pytest.raises(ConfigError, match="epic"):
        Style(length="epic")


@pytest.mark.parametrize(
    ("noun", "one", "many", "verb"),
    [
        ("films", "film", "films", "watched"),
        ("Books", "book", "books", "read"),
        ("series", "series", "series", "watched"),
        ("candles", "candle", "candles", "chose"),
        ("beauty products", "beauty product", "beauty products", "chose"),
    ],
)
def test_the_noun_decides_the_words(noun, one, many, verb):
    words = Style(noun).words
    assert (words.singular, words.plural, words.verbs[0]) == (one, many, verb)
    assert "chosen" not in words.verbs  # "you chosen" is no English


def test_another_language_has_its_own_words():
    words = Style("films", language="de").words
    assert (words.singular, words.plural, words.verbs) == ("Film", "Filme", ("gesehen",))


def test_a_longer_style_allows_more_of_everything():
    sizes = [Style(length=length).size for length in ("short", "normal", "detailed")]
    for smaller, larger in zip(sizes, sizes[1:], strict=False):
        assert smaller.words < larger.words and smaller.named < larger.named
        assert smaller.groups < larger.groups and smaller.values < larger.values


def test_the_configuration_decides_the_style():
    config = Config.parse(
        {"prompt": {"noun": "songs"}, "justify": {"length": "short", "phrases": {"bpm": "at {values}"}}}
    )
    style = Style.of(config.prompt, config.justify)
    assert (style.noun, style.length, style.language, style.phrases) == ("songs", "short", "en", {"bpm": "at {values}"})
