"""Search over a catalogue: by the words of titles, the beginnings of words, small typing errors, and attribute values.

Words are numbered in alphabetical order, so that all words with one beginning are a range, and the items that have any of
them lie side by side in one array. A search makes masks over the items and never looks at a title. Memory: four bytes for
each word of each title and value, and the distinct words.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import OSA

from recommender.data.catalogue import FACT_LENGTH, Catalogue, Item

#: words of a search that count, and letters of a word
MOST_WORDS, LONGEST_WORD = 8, 40
#: letters of a word from which one typing error is forgiven, and two
ONE_ERROR, TWO_ERRORS = 4, 8
#: words that a misspelt one may mean, and misspelt words of a search: to compare one with all others takes longest
MEANT, MOST_MISSPELT = 20, 2
#: of scripts that put no space between words each character is one
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
#: an item's place by how it meets a search: all words in its title as they are, as beginnings, in its values too, misspelt
_WHOLE, _EXACT, _BEGUN, _VALUES, _MISSPELT = range(5)
_UNMET = 255


@lru_cache(maxsize=65536)
def _folded(word: str) -> str:
    """Return a word without case and accents."""
    if word.isascii():
        return word.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c)) or word


def search_words(text: str) -> list[str]:
    """Return the words of a text, without case and accents."""
    return [_folded(word[:LONGEST_WORD]) for word in _WORD.findall(text)]


@dataclass(frozen=True)
class Found:
    """How many items a search found, and the positions of those that were asked for, the best first."""

    total: int
    items: np.ndarray


class ItemSearch:
    """Finds the items of one catalogue; built once, which takes a second for every 50,000 items or so."""

    def __init__(self, catalogue: Catalogue, popularity: np.ndarray | None = None) -> None:
        """`popularity` float [items]: who comes first of those that meet a search alike; by default catalogue order."""
        self._count = len(catalogue)
        popular = np.zeros(self._count) if popularity is None else -popularity
        self._listed = np.argsort(popular, kind="stable").astype(np.int32)
        self._places = np.empty(self._count, np.int32)
        self._places[self._listed] = np.arange(self._count, dtype=np.int32)
        self._titles = _WordIndex(search_words(item.title) for item in catalogue)
        self._lengths = self._titles.lengths
        self._values = _WordIndex(_value_words(catalogue))

    def find(self, text: str, limit: int, offset: int = 0, among: np.ndarray | None = None) -> Found:
        """Return the items that have every word of a text: in the title, as the beginning of one of its words, or in an
        attribute's value. `among` bool [items]: only of these.

        A word that nothing has, or begins with, is taken for those that it resembles. A text without words finds nothing.
        """
        words = list(dict.fromkeys(search_words(text)))[:MOST_WORDS]
        if not words or not self._count:
            return Found(0, np.zeros(0, np.int32))
        ranks = self._ranks(words)
        if among is not None:
            ranks[~among] = _UNMET
        return self._best(ranks, limit, offset)

    def first(self, limit: int, offset: int = 0, among: np.ndarray | None = None) -> Found:
        """Return the items in the order in which they stand where nothing is searched for; `among`: as in `find`."""
        listed = self._listed if among is None else self._listed[among[self._listed]]
        return Found(len(listed), listed[offset : offset + limit])

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the index takes, the distinct words included."""
        return self._listed.nbytes + self._places.nbytes + self._titles.nbytes + self._values.nbytes

    def _ranks(self, words: list[str]) -> np.ndarray:
        """Return uint8 [items]: how each item meets the words, _UNMET for not at all."""
        exact = begun = known = near = np.ones(self._count, dtype=bool)
        misspelt = 0
        for word in words:
            own, first = self._titles.having(word), self._titles.beginning(word)
            valued = first | self._values.beginning(word)
            exact, begun, known = exact & own, begun & first, known & valued
            if valued.any():
                near = near & valued
                continue
            misspelt += 1
            near = near & self._resembling(word) if misspelt <= MOST_MISSPELT else np.zeros_like(near)
            if not near.any():  # further words change nothing
                break
        ranks = np.full(self._count, _UNMET, np.uint8)
        for rank, mask in ((_MISSPELT, near), (_VALUES, known), (_BEGUN, begun), (_EXACT, exact)):
            ranks[mask] = rank
        ranks[exact & (self._lengths == len(words))] = _WHOLE
        return ranks

    def _resembling(self, word: str) -> np.ndarray:
        return self._titles.resembling(word) | self._values.resembling(word)

    def _best(self, ranks: np.ndarray, limit: int, offset: int) -> Found:
        met = np.flatnonzero(ranks != _UNMET)
        order = ranks[met].astype(np.int64) * self._count + self._places[met]
        end = min(offset + limit, len(met))
        if end <= offset:
            return Found(len(met), met[:0])
        best = np.argpartition(order, end - 1)[:end] if end < len(met) else np.arange(len(met))
        return Found(len(met), met[best[np.argsort(order[best])]][offset:])


class _WordIndex:
    """Word -> items, as arrays: the distinct words in order, and behind each other the items of each."""

    def __init__(self, rows: Iterable[Iterable[str]]) -> None:
        numbers: dict[str, int] = {}
        found, items, lengths = array("i"), array("i"), array("H")
        for item, row in enumerate(rows):
            words = dict.fromkeys(row)
            lengths.append(min(len(words), 65535))
            found.extend([numbers.setdefault(word, len(numbers)) for word in words])
            items.extend([item] * len(words))
        self._words = sorted(numbers)
        place = np.empty(len(numbers), np.int32)
        place[[numbers[word] for word in self._words]] = np.arange(len(numbers), dtype=np.int32)
        number = place[np.frombuffer(found, np.int32)] if len(found) else np.zeros(0, np.int32)
        self._items = np.frombuffer(items, np.int32)[np.argsort(number, kind="stable")] if len(found) else number
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(number, minlength=len(numbers)))])
        self.lengths = np.frombuffer(lengths, np.uint16)
        self._by_length = defaultdict[int, list[str]](list)
        for word in self._words:
            self._by_length[len(word)].append(word)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and of the words, each of which two lists point to."""
        words = sum(map(sys.getsizeof, self._words)) + 16 * len(self._words)
        return self._items.nbytes + self._starts.nbytes + self.lengths.nbytes + words

    def having(self, word: str) -> np.ndarray:
        """Return bool [items]: which have the word."""
        place = bisect_left(self._words, word)
        end = place + (place < len(self._words) and self._words[place] == word)
        return self._mask([(place, end)])

    def beginning(self, word: str) -> np.ndarray:
        """Return bool [items]: which have a word that begins so."""
        return self._mask([(bisect_left(self._words, word), bisect_left(self._words, word + "\U0010ffff"))])

    def resembling(self, word: str) -> np.ndarray:
        """Return bool [items]: which have a word that may be meant by a misspelt one."""
        places = [bisect_left(self._words, meant) for meant in self._meant(word)]
        return self._mask([(place, place + 1) for place in places])

    def _meant(self, word: str) -> Iterator[str]:
        most = 2 if len(word) >= TWO_ERRORS else int(len(word) >= ONE_ERROR)
        for length in range(len(word) - most, len(word) + most + 1) if most else ():
            candidates = self._by_length.get(length, ())
            near = process.extract(word, candidates, scorer=OSA.distance, score_cutoff=most, limit=MEANT)
            yield from (meant for meant, _, _ in near)

    def _mask(self, ranges: Iterable[tuple[int, int]]) -> np.ndarray:
        mask = np.zeros(len(self.lengths), dtype=bool)
        for first, last in ranges:
            mask[self._items[self._starts[first] : self._starts[last]]] = True
        return mask


def _value_words(catalogue: Catalogue) -> Iterator[Iterable[str]]:
    """Yield the words of each item's short attribute values; those of a value that many items have are found once."""
    known: dict[str, tuple[str, ...]] = {}
    for item in catalogue:
        yield [word for value in _short_values(item) for word in _words_of(value, known)]


def _short_values(item: Item) -> Iterator[str]:
    for values in item.attributes.values():
        yield from (value for value in values if len(value) <= FACT_LENGTH)


def _words_of(value: str, known: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    found = known.get(value)
    if found is None:
        found = known[value] = tuple(search_words(value))
    return found
