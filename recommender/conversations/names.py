"""Finds the items that people name: without article or year, in any case, misspelt, run together, as a series.

Names are found before the language model reads a message, so that each item can stand behind its name as a position. What
looks like a name and is none of the catalogue ("Deadpool 2 (2018)") is found too: it is no item, and it is told apart from
"Deadpool" and from the number 2.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process

from recommender.data.catalogue import Catalogue, Item
from recommender.justify.english import NEUTRAL
from recommender.justify.facts import fact_index, facts_of, role
from recommender.justify.item_names import Word, forms, other_names, words
from recommender.justify.series import series_of

#: of 100, and in letters: how alike a misspelt name must be, and how long
ALIKE, SHORTEST_MISSPELT = 88.0, 5
#: letters of the shortest name that is found when its words are run together
SHORTEST_JOINED = 7
#: by how many years people are mistaken
YEARS_APART = 1
_LONGEST = 10
_YEAR = re.compile(r"\s*[(\[]\s*((?:18|19|20)\d\d)\s*[)\]]")
_QUOTED = re.compile(r'["“”„«»]([^"“”„«»\n]{1,100})["“”„«»]')
_BRACKET = re.compile(r"\(([^()]*)\)")
_SENTENCE_END = frozenset(".!?\n")
_ARTICLES = frozenset("the a an".split())
_SMALL = frozenset("the of and a an in to for vs with on at from my is de la le und der die das part vol &".split())
#: words before a name that make even a common word one
_BEFORE = frozenset(
    "like liked likes love loved loves enjoy enjoyed saw seen see watch watched watching called named hate hated titled"
    " read heard played play".split()
)
#: words behind which a capital at the beginning of a sentence is a name's
_AFTER = frozenset("is was isnt wasnt".split())
#: words of everyday talk that are names, too: alone and without a capital they mean nothing
_COMMON = frozenset(
    """about after again all always another any bad beautiful best better big black blood boy boys break brother business
    century chance choice choices city cold come cool crazy dark date day days dead dear death down dream evening ever every
    evil eye eyes face fall family father favorite few fire first five free friday friend friends full fun future game games
    girl girls go gold good great green guy guys half happy hard heart heat hell high home hot hour house human husband jack
    kid kids kind king last late life light little long lost love lucky mad man men midnight monday money moon more morning
    mother movie movies film films my name new next nice night nights nothing now old one out over part party people perfect
    place play power quick ready real red right road rock room run sad saturday school secret seen seven sex shine short
    simple sister six small smile smoke snow some something song soul space speed star story strange street strong stuff
    summer sun sunday sweet talk ten thing things think three time times to today together tomorrow tonight top town trouble
    true truth two under war wait walk water wedding week whatever white wife wild wind winter woman women word world year
    years young your yes""".split()
)
_GENERIC = frozenset("movie movies film films book books song songs album albums game games".split())
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
_SERIES_WORD = re.compile(
    r"^\s+(?:(?:films|movies|books|games|albums)|(?:film |movie |book |game )?(?:series|trilogy|saga|franchise))\b",
    re.I,
)
_LEADING_CUT = re.compile(r"\s*[:–—]\s|\s+-\s+")


@dataclass(frozen=True)
class Mention:
    """A name in a text, at [start, end), its year included. `items`: whom it may mean, the likeliest first; empty where the
    catalogue has nothing of the name. `series`: all of `items` are meant. `year`: as written behind the name."""

    start: int
    end: int
    name: str
    items: tuple[int, ...]
    year: int | None = None
    series: bool = False
    misspelt: bool = False

    @property
    def item(self) -> int | None:
        """The item that is most likely meant."""
        return self.items[0] if self.items else None


class NameFinder:
    """Finds the names of one catalogue's items; built once."""

    def __init__(self, catalogue: Catalogue, popularity: np.ndarray | None = None) -> None:
        """`popularity` [items]: which of several namesakes is meant, if nothing else tells; by default the first one."""
        self._order = np.zeros(len(catalogue)) if popularity is None else popularity
        index = fact_index(catalogue)
        self._years = [set(years) for years in index.years]
        self._names: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        self._heads: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for item, entry in enumerate(catalogue):
            for name in _all_names(entry):
                for key in _keys(name):
                    self._names[key].append(item)
                head = _LEADING_CUT.split(_BRACKET.sub("", name))[0]
                if head != name:
                    for key in _keys(head):
                        self._heads[key].append(item)
        for keys in (self._names, self._heads):
            for key, items in keys.items():
                keys[key] = sorted(dict.fromkeys(items), key=lambda i: (-self._order[i], i))
        self._series = _series_of(catalogue)
        self._values = _common_values(catalogue)
        names = dict.fromkeys((*self._names, *(head for head in self._heads if len(head) > 1)))
        self._joined = {"".join(key): key for key in names if len(key) > 1 and len("".join(key)) >= SHORTEST_JOINED}
        self._spelt = [" ".join(key) for key in names if len(" ".join(key)) >= SHORTEST_MISSPELT]
        self._longest = min(max(map(len, self._names), default=1), _LONGEST)

    def mentions(self, text: str) -> tuple[Mention, ...]:
        """Return the names in a text, in order; they do not overlap."""
        found: list[Mention] = []
        for mention in (*self._with_year(text), *self._quoted(text)):
            if not any(mention.start < other.end and other.start < mention.end for other in found):
                found.append(mention)
        found.sort(key=lambda mention: mention.start)
        gaps = zip([0, *(m.end for m in found)], [*(m.start for m in found), len(text)], strict=True)
        plain = [mention for start, end in gaps for mention in self._plain(text, start, end)]
        return tuple(sorted([*found, *plain], key=lambda mention: mention.start))

    def named(self, name: str, year: int | None = None) -> tuple[int, ...]:
        """Return the items that go by a name, of this year if one is given; a misspelt name means whom it resembles."""
        key = _numbered(forms(name))
        return self._of_year(self._known(key), year) or self._of_year(self._resembled(key), year)

    # names with a year, and within quotation marks

    def _with_year(self, text: str) -> Iterator[Mention]:
        """Yield names that end with a year in brackets: the longest known one before it, or what has capitals there."""
        cursor = 0
        for bracket in _YEAR.finditer(text):
            before = words(text[cursor : bracket.start()])[-_LONGEST:]
            year = int(bracket[1])
            known = None
            for first in range(len(before)):
                items = self._of_year(self._known(_key(before[first:])), year)
                if items:
                    known = first, items
                    break
            if known is None:
                known = _capitals(before), ()
                resembled = self._of_year(self._resembled(_key(before[known[0] :])), year)
                known = known[0], resembled
            first, items = known
            if first < len(before):
                start = cursor + before[first].start
                name = text[start : bracket.start()]
                yield Mention(start, bracket.end(), name, items, year)
            cursor = bracket.end()

    def _quoted(self, text: str) -> Iterator[Mention]:
        for quoted in _QUOTED.finditer(text):
            year = _YEAR.match(text, quoted.end())
            number = int(year[1]) if year else None
            items = self.named(quoted[1], number)
            yield Mention(quoted.start(), year.end() if year else quoted.end(), quoted[1], items, number)

    # names in running text

    def _plain(self, text: str, start: int, end: int) -> Iterator[Mention]:
        found, place = words(text[start:end]), 0
        while place < len(found):
            mention = self._at(text, start, found, place)
            if mention is None:
                place += 1
                continue
            yield mention
            while place < len(found) and start + found[place].start < mention.end:
                place += 1

    def _at(self, text: str, offset: int, found: Sequence[Word], place: int) -> Mention | None:
        """Return the name that begins at a word, the longest first."""
        for length in range(min(self._longest, len(found) - place), 0, -1):
            run = found[place : place + length]
            key = _key(run)
            first, last = offset + run[0].start, offset + run[-1].end
            series = self._series.get(_without_article(key), ())
            if series and _SERIES_WORD.match(text[last:]):
                return Mention(first, last, text[first:last], series, series=True)
            items = self._known(key)
            if items and (length == len(found) or self._is_meant(text, first, found, place, length)):
                return Mention(first, last, text[first:last], items)
        return self._misspelt(text, offset, found, place)

    def _misspelt(self, text: str, offset: int, found: Sequence[Word], place: int) -> Mention | None:
        """Return a misspelt or run-together name where one is to be expected: behind "I liked", or with capitals."""
        word = found[place]
        expected = place > 0 and found[place - 1].form in _BEFORE
        if word.form in self._joined and word.form not in self._values:
            items = self._known(self._joined[word.form])
            return Mention(offset + word.start, offset + word.end, word.text, items, misspelt=True)
        if not (expected or (word.text[0].isupper() and not _begins_sentence(text, offset + word.start))):
            return None
        if _in_longer_name(text, offset + word.start, found, place) and self._known((word.form,)):
            return None
        for length in range(min(6, len(found) - place), 0, -1):
            run = found[place : place + length]
            if any(w.form in NEUTRAL for w in (run[0], run[-1])) and length > 1 and run[-1].form in NEUTRAL:
                continue
            items = self._resembled(_key(run))
            if items:
                first, last = offset + run[0].start, offset + run[-1].end
                return Mention(first, last, text[first:last], items, misspelt=True)
        return None

    def _is_meant(self, text: str, start: int, found: Sequence[Word], place: int, length: int) -> bool:
        """Whether words that happen to be a name are meant as one."""
        run = found[place : place + length]
        telling = [word for word in run if word.form not in NEUTRAL and word.form not in _SMALL]
        expected = place > 0 and found[place - 1].form in _BEFORE
        capitals = [word for word in run if word.form not in _SMALL and word.text[0].isupper()]
        all_capitals = len(capitals) == len([word for word in run if word.form not in _SMALL])
        if len(run) >= 3 and len("".join(word.form for word in run)) > 9:
            return bool(telling) or all_capitals
        if not telling:
            return len(run) > 1 and all_capitals and bool(capitals)
        if all(word.form.isdigit() for word in telling):
            return expected and len(telling) == len(run)
        if len(run) > 1:
            if all_capitals or (expected and not set(_key(run)) & _GENERIC):
                return True
            return len(telling) == len(run) and not all(word.form in _COMMON for word in run)
        word = run[0]
        if word.form in self._values or len(word.form) < 3 or _in_longer_name(text, start, found, place):
            return False
        after = found[place + 1].form if place + 1 < len(found) else ""
        capital = word.text[0].isupper() and (after in _AFTER or not _begins_sentence(text, start))
        return expected or capital

    # who goes by a name

    def _known(self, key: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(self._names.get(key) or self._names.get(_without_article(key)) or self._heads.get(key) or ())

    def _resembled(self, key: tuple[str, ...]) -> tuple[int, ...]:
        text = " ".join(key)
        if len(text) < SHORTEST_MISSPELT or (len(key) == 1 and key[0] in self._values | _COMMON):
            return ()
        best = process.extractOne(text, self._spelt, scorer=fuzz.ratio, score_cutoff=ALIKE)
        if best is None or _numbers(best[0]) != _numbers(text):  # "Die Hard 2" is not "Die Hard 3"
            return ()
        if {best[0], text} == {best[0], f"{best[0]}s"} and key[-1] in _GENERIC:  # "scary movies" are no film
            return ()
        return self._known(tuple(best[0].split(" ")))

    def _of_year(self, items: Sequence[int], year: int | None) -> tuple[int, ...]:
        if year is None:
            return tuple(items)
        near = [item for item in items if any(abs(year - other) <= YEARS_APART for other in self._years[item])]
        return tuple(sorted(near, key=lambda item: year not in self._years[item]))


def _all_names(item: Item) -> Iterator[str]:
    """Yield the names of an item, what stands in brackets behind its title ("Seven (Se7en)") among them."""
    for name in other_names(item, ()):
        yield name
        for inner in _BRACKET.findall(name):
            if not inner.isdigit():
                yield inner


def _in_longer_name(text: str, start: int, found: Sequence[Word], place: int) -> bool:
    """Whether a word belongs to the name beside it: "Tom Cruise" is not "The Cruise"."""
    word = found[place]
    if not word.text[0].isupper():
        return False
    offset = start - word.start
    after = found[place + 1] if place + 1 < len(found) else None
    before = found[place - 1] if place else None
    if after and after.text[0].isupper() and text[offset + word.end : offset + after.start] == " ":
        return True
    if not before or text[offset + before.end : start] != " " or before.form in _BEFORE | _ARTICLES:
        return False
    return before.text[0].isupper() and not _begins_sentence(text, offset + before.start)


def _keys(name: str) -> set[tuple[str, ...]]:
    key = _numbered(forms(name))
    return {key, _without_article(key)} - {()}


def _key(run: Sequence[Word]) -> tuple[str, ...]:
    return _numbered(word.form for word in run)


def _numbered(key: Iterable[str]) -> tuple[str, ...]:
    """Return the words of a name with numerals as figures."""
    return tuple(_ROMAN.get(word, word) for word in key)


def _without_article(key: tuple[str, ...]) -> tuple[str, ...]:
    return key[1:] if len(key) > 1 and key[0] in _ARTICLES else key


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+|\b[ivx]+\b", text)


def _capitals(before: Sequence[Word]) -> int:
    """Return where the run of words with capitals begins that ends a text; small words may stand within it."""
    first = len(before)
    for place in range(len(before) - 1, -1, -1):
        word = before[place]
        if word.text[0].isupper() or word.text[0].isdigit():
            first = place
        elif word.form not in _SMALL and len(word.text) > 1:
            break
    return first


def _begins_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(" \t\"'“„«(")
    return not before or before[-1] in _SENTENCE_END


def _series_of(catalogue: Catalogue) -> dict[tuple[str, ...], tuple[int, ...]]:
    members: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for item, name in enumerate(series_of([entry.title for entry in catalogue])):
        if name:
            members[_without_article(_numbered(forms(name)))].append(item)
    return {key: tuple(items) for key, items in members.items()}


def _common_values(catalogue: Catalogue) -> set[str]:
    """Return the single words that say what kind an item is: "Romance" is a genre before it is a film."""
    found = set()
    for item in range(len(catalogue)):
        for name, values in facts_of(catalogue, item).items():
            if role(name) == "kind":
                found |= {key[0] for value in values if len(key := forms(value)) == 1}
    return found
