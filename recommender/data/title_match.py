"""Finds the same work in another table by title and year, as people and data sets write titles differently.

"Postino, Il" is "Il Postino", "Manon of the Spring (Manon des sources)" is "Manon des Sources", "Twelve Monkeys" is
"12 Monkeys", "The Empire Strikes Back" is "Star Wars: Episode V - The Empire Strikes Back". A match is taken only where
it is the one match of its kind.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from rapidfuzz import fuzz

#: how a title was found, the surest kind first
MatchKind = Literal["title and year", "other title", "year apart", "part of a title", "spelling"]
KINDS: tuple[MatchKind, ...] = get_args(MatchKind)
#: of 100; shortest title, in letters, whose spelling may differ
ALIKE, SHORTEST = 88.0, 8

_ARTICLES = frozenset("the a an le la les l il lo gli das der die el los las un une una".split())
_NUMBER_WORDS = "one two three four five six seven eight nine ten eleven twelve".split()
_NUMBERS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS, 1)} | {"ii": "2", "iii": "3", "iv": "4"}
_BRACKETED = re.compile(r"^(?P<title>.+?) \((?P<other>[^()]*)\)$")
_WORD = re.compile(r"[^\W_]+")
_DROPPED = re.compile(r"[’'`.*]")
_PART = re.compile(r"[:–—]| - ")


@dataclass(frozen=True)
class Match:
    """Rows of the other table that a title may mean: one, or several that cannot be told apart."""

    rows: tuple[int, ...]
    kind: MatchKind | str
    """A `MatchKind`, or the name of the key that was the same."""


class TitleIndex:
    """The titles and years of a table, to be searched."""

    def __init__(self, titles: Sequence[str], years: Sequence[int | None]) -> None:
        """`titles`, `years`: one for each row; a row without a year is not found."""
        self._titles = [_words(title) for title in titles]
        self._spelt: dict[int, tuple[str, list[str]]] = {}
        self._years = list(years)
        self._whole: defaultdict[str, list[int]] = defaultdict(list)
        self._parts: defaultdict[str, list[int]] = defaultdict(list)
        self._of_year: defaultdict[int, list[int]] = defaultdict(list)
        for row, (title, year) in enumerate(zip(titles, years, strict=True)):
            if year is None or not self._titles[row]:
                continue
            self._of_year[year].append(row)
            for form in _forms(title):
                self._whole[_key(form)].append(row)
            for part in _parts(title):
                self._parts[part].append(row)

    def find(self, title: str, year: int, apart: int = 1) -> Match | None:
        """Return the rows of the surest kind of match, or None. `apart`: by how many years two tables may differ."""
        forms = _forms(title)
        for kind, rows in self._candidates(forms, year, apart):
            if rows:
                return Match(tuple(dict.fromkeys(rows)), kind)
        return None

    def _candidates(self, forms: Sequence[str], year: int, apart: int) -> Iterator[tuple[MatchKind, list[int]]]:
        first, *others = forms
        yield "title and year", self._within(self._whole[_key(first)], year, 0)
        for form in others:
            yield "other title", self._within(self._whole[_key(form)], year, 0)
        for form in forms:
            # "The Fear" (1995) is not "Fear" (1996): where the year differs, the article must not
            same = [
                row for row in self._whole[_key(form)] if _has_article(self._titles[row]) == _has_article(_words(form))
            ]
            yield "year apart", self._within(same, year, apart)
        for distance in range(apart + 1):
            for form in forms:
                rows = [*self._parts[_key(form)], *(row for part in _parts(form) for row in self._whole[part])]
                yield "part of a title", self._within(rows, year, distance)
        for form in forms:
            yield "spelling", self._alike(_key(form), year, apart)

    def _within(self, rows: Sequence[int], year: int, apart: int) -> list[int]:
        return [row for row in rows if abs((self._years[row] or 0) - year) <= apart]

    def _alike(self, key: str, year: int, apart: int) -> list[int]:
        """Return the rows of about the year whose title is spelled most alike; numbers in both are the same."""
        if len(key) < SHORTEST:
            return []
        near = [row for y in range(year - apart, year + apart + 1) for row in self._of_year[y]]
        digits, spelt = _digits(key), [self._spelling(row) for row in near]
        scores = {
            row: fuzz.ratio(key, other)
            for row, (other, its_digits) in zip(near, spelt, strict=True)
            if its_digits == digits
        }
        best = max(scores.values(), default=0.0)
        return [row for row, score in scores.items() if score == best] if best >= ALIKE else []

    def _spelling(self, row: int) -> tuple[str, list[str]]:
        """Return a row's title as it is compared, and the numbers in it: each is asked for by hundreds of titles."""
        if row not in self._spelt:
            text = " ".join(_plain(self._titles[row]))
            self._spelt[row] = text, _digits(text)
        return self._spelt[row]


def _forms(title: str) -> tuple[str, ...]:
    """Return a title, and the one that follows it in brackets."""
    match = _BRACKETED.match(title)
    return (match["title"], match["other"]) if match and _words(match["other"]) else (title,)


def _parts(title: str) -> list[str]:
    """Return the parts of a title with a colon or a dash that have two words and more."""
    parts = [_key(part) for part in _PART.split(title)]
    return [part for part in parts if " " in part] if len(parts) > 1 else []


@lru_cache(maxsize=65536)
def _words(title: str) -> tuple[str, ...]:
    """Return a title's words: lower case, no accents, numbers as digits."""
    text = unicodedata.normalize("NFKD", title.casefold())
    text = "".join(char for char in text if not unicodedata.combining(char)).replace("&", " and ")
    return tuple(_NUMBERS.get(word, word) for word in _WORD.findall(_DROPPED.sub("", text)))


def _has_article(words: tuple[str, ...]) -> bool:
    return len(words) > 1 and (words[0] in _ARTICLES or words[-1] in _ARTICLES)


def _plain(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return words without the article that a title begins with or, sorted by its next word, ends with."""
    if len(words) > 1 and words[0] in _ARTICLES:
        return words[1:]
    return words[:-1] if len(words) > 1 and words[-1] in _ARTICLES else words


def _key(title: str) -> str:
    return " ".join(_plain(_words(title)))


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+", text)
