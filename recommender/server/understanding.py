"""From messages to a question for the engine. `Understanding` is all the server knows of it, so a better one fits in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from recommender.catalogue import Catalogue
from recommender.server.bodies import Message

MOST_WORDS = 12
LONGEST_WISH = 500
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"[\"“«']([^\"”»]{1,80}?)[\"”»']")
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
_ARTICLE = re.compile(r"^(.*), (the|a|an)$", re.IGNORECASE)


@dataclass(frozen=True)
class Understood:
    """What a conversation says: items the person knows, items already proposed to them, and their wish in words."""

    history: tuple[str, ...] = ()
    proposed: tuple[str, ...] = ()
    wish: str | None = None


class Understanding(Protocol):
    """Whatever reads a conversation."""

    def __call__(self, messages: Sequence[Message]) -> Understood:
        """Return what the messages say."""
        ...


class NamedTitles:
    """Reads titles: those of the user are their history, those of the assistant were proposed; the last message is the wish.

    A title of several words is found anywhere, a single word only in quotation marks, for it may be just a word.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        """Index the titles of a catalogue, with and without their year."""
        self.catalogue = catalogue
        self._titles: dict[tuple[str, ...], int] = {}
        for index, item in enumerate(catalogue):
            for form in _forms(item.title):
                if form:
                    self._titles.setdefault(form, index)

    def __call__(self, messages: Sequence[Message]) -> Understood:
        """Return what the messages say."""
        said = [message.text for message in messages if message.role == "user"]
        told = [message.text for message in messages if message.role == "assistant"]
        wish = " ".join(said[-1].split())[:LONGEST_WISH] if said else None
        known = self._named(said)
        proposed = tuple(item for item in self._named(told) if item not in known)
        return Understood(known, proposed, wish or None)

    def _named(self, texts: Sequence[str]) -> tuple[str, ...]:
        found = [index for text in texts for index in (*self._in_words(text), *self._in_quotes(text))]
        return tuple(self.catalogue[index].item_id for index in dict.fromkeys(found))

    def _in_words(self, text: str) -> list[int]:
        words, found, place = _words(text), [], 0
        while place < len(words):
            for length in range(min(MOST_WORDS, len(words) - place), 1, -1):  # the longest title wins
                index = self._titles.get(words[place : place + length])
                if index is not None:
                    found.append(index)
                    place += length - 1
                    break
            place += 1
        return found

    def _in_quotes(self, text: str) -> list[int]:
        names = (_words(match[1]) for match in _QUOTED.finditer(text))
        return [self._titles[name] for name in names if name in self._titles]


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _forms(title: str) -> list[tuple[str, ...]]:
    """Return a title's words as people write it: with and without year, "Matrix, The" the right way round."""
    bare = _YEAR.sub("", title)
    turned = _ARTICLE.sub(r"\2 \1", bare)
    return [_words(form) for form in dict.fromkeys((title, bare, turned))]
