"""Finds what a message speaks of: names of items, values of their attributes, and the words that people have for kinds.

What is found is marked before the language model reads the message. What is meant by it, the model says: see `reading`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.conversations.names import NameFinder
from recommender.conversations.phrases import Phrases, phrases_of
from recommender.data.catalogue import Catalogue
from recommender.justify.english import NEUTRAL
from recommender.justify.facts import PEOPLE, Fact, facts_of, role
from recommender.justify.item_names import Word, forms, words
from recommender.justify.vocabulary import inflections

#: of a series, so many of its items stand behind its name
MOST_OF_SERIES = 4
_NOT_SAID = frozenset(("year", "decade", "series"))
#: single words of these roles mean the value also in lower case
_ALWAYS = frozenset(("kind", "artist", "brand"))
_POSSESSIVE = ("'s", "’s")


@dataclass(frozen=True)
class Mention:
    """Something that a text names, at [start, end). `items`: whom a name may mean, the likeliest first. `facts`: the
    attribute values that it may mean. Neither: a name of nothing in the catalogue.

    `figurative`: another word for a kind ("funny"), which is a wish and never a condition. `series`: all `items` are meant.
    """

    start: int
    end: int
    text: str
    items: tuple[int, ...] = ()
    facts: tuple[Fact, ...] = ()
    figurative: bool = False
    series: bool = False
    misspelt: bool = False

    @property
    def positions(self) -> tuple[int, ...]:
        """The items that stand behind it in a prompt."""
        return self.items[:MOST_OF_SERIES] if self.series else self.items[:1]


class MentionFinder:
    """Finds mentions for one catalogue; built once."""

    def __init__(
        self,
        catalogue: Catalogue,
        popularity: np.ndarray | None = None,
        languages: Sequence[str] = ("en",),
        names: NameFinder | None = None,
    ) -> None:
        """`popularity` [items]: which of several namesakes is likely meant."""
        self.names = names or NameFinder(catalogue, popularity)
        self._values: defaultdict[tuple[str, ...], set[Fact]] = defaultdict(set)
        for fact in _facts(catalogue):
            for text in inflections(*fact):
                self._values[forms(text)].add(fact)
        self._figurative: defaultdict[tuple[str, ...], set[Fact]] = defaultdict(set)
        for language in languages:
            for key, fact in _figurative(self._values, phrases_of(language)):
                self._figurative[key].add(fact)
        self._longest = max(map(len, [*self._values, *self._figurative]), default=1)

    def find(self, text: str) -> tuple[Mention, ...]:
        """Return what a text speaks of, in order; mentions do not overlap."""
        named = [
            Mention(m.start, m.end, text[m.start : m.end], m.items, series=m.series, misspelt=m.misspelt)
            for m in self.names.mentions(text)
            if not self._is_value(text[m.start : m.end])
        ]
        gaps = zip([0, *(m.end for m in named)], [*(m.start for m in named), len(text)], strict=True)
        values = [mention for start, end in gaps for mention in self._in(text, start, end)]
        return tuple(sorted([*named, *values], key=lambda mention: mention.start))

    def _is_value(self, text: str) -> bool:
        """Whether a name is a value as well, and written as one: "a war movie" is no wish for the film The War."""
        return text.islower() and forms(text) in self._values

    def _in(self, text: str, start: int, end: int) -> Iterator[Mention]:
        found, place = words(text[start:end]), 0
        while place < len(found):
            mention, length = self._at(text, start, found, place)
            if mention is not None:
                yield mention
            place += length

    def _at(self, text: str, offset: int, found: list[Word], place: int) -> tuple[Mention | None, int]:
        """Return the value that begins at a word, the longest first, and how many words it has."""
        for length in range(min(self._longest, len(found) - place), 0, -1):
            run = found[place : place + length]
            key = tuple(word.form for word in run)
            facts, figurative = self._values.get(key), False
            if facts is None and key in self._figurative:
                facts, figurative = self._figurative[key], True
            if facts and (figurative or self._is_meant(key, run, facts)):
                first, last = offset + run[0].start, offset + run[-1].end
                kinds = {
                    fact for fact in facts if role(fact[0]) == "kind"
                }  # "comedy" is a genre before it is a keyword
                return Mention(first, last, text[first:last], (), tuple(sorted(kinds or facts)), figurative), length
        return None, 1

    @staticmethod
    def _is_meant(key: tuple[str, ...], run: list[Word], facts: set[Fact]) -> bool:
        """Whether words that happen to be a value are meant as one."""
        if all(word in NEUTRAL for word in key):
            return False
        kinds = {role(name) for name, _ in facts}
        if len(run) > 1:
            return bool(kinds - set(PEOPLE)) or len("".join(key)) > 5
        return bool(kinds & _ALWAYS) or run[0].text[0].isupper()


def _facts(catalogue: Catalogue) -> Iterator[Fact]:
    seen: set[Fact] = set()
    for item in range(len(catalogue)):
        for name, values in facts_of(catalogue, item).items():
            if role(name) not in _NOT_SAID:
                seen |= {(name, value) for value in values}
    yield from sorted(seen)


def _figurative(values: dict[tuple[str, ...], set[Fact]], phrases: Phrases) -> Iterator[tuple[tuple[str, ...], Fact]]:
    """Yield other words for the kinds of a catalogue."""
    kinds = {fact for facts in values.values() for fact in facts if role(fact[0]) == "kind"}
    for fact in sorted(kinds):
        for text in phrases.words_for(fact[1]):
            if (key := forms(text)) and key not in values:
                yield key, fact
