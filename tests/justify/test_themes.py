"""Themes: nouns that texts use alone, and nothing else."""

from __future__ import annotations

from recommender.justify.themes import FEWEST_TEXTS, themes_of

TALES = [
    "A sailor dreams of revenge. The revenge of a sailor is cold, and Anna waits for revenge.",
    "He wants to live without revenge, but an old captain thinks of vampires.",
    "A vampire comes to town. She is afraid of vampires, and the vampire knows of revenge.",
    "They hunt for vampires. The vampire, young and pale, speaks of revenge.",
    "A captain is fond of vampires. In a young vampire there is no room for revenge.",
    "A boy sees a submarine. The submarine leaves with Anna, and the boy determines a course.",
    "The girl finds a submarine of Anna and a young man by the submarine; she determines the rest.",
    "The submarine of a young man sinks. He determines what to do with Anna.",
    "A young girl on a submarine determines the fate of Anna.",
]


def test_nouns_that_stand_alone_are_themes_of_the_texts_that_use_them():
    filler = ["A quiet day at the old mill." for _ in range(100)]
    themes = themes_of(TALES + filler)
    assert themes[0] == ("revenge",) and set(themes[2]) == {"revenge", "vampires"}
    told = {theme for of_text in themes for theme in of_text}
    assert told == {"revenge", "vampires"}  # no name, no verb, no adjective, nothing that needs an article


def test_what_many_texts_say_is_no_theme():
    assert not any(themes_of(TALES[:5] * 3 + TALES[5:]))
    assert not any(themes_of(TALES[: FEWEST_TEXTS - 1]))


def test_texts_without_words_have_no_themes():
    assert themes_of([]) == [] and themes_of(["", "!"]) == [(), ()]
