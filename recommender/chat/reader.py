"""One message read: names, attribute values, years, numbers, and what is wanted of each.

Whatever the catalogue knows is marked first (`<t0>` a title, `<v1>` a value, `<r2>` the second of the last list), so that
the patterns of `words` see only the language around it.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from recommender.chat import clauses
from recommender.chat import english_patterns as w
from recommender.chat.domains import DomainReader
from recommender.data.catalogue import Catalogue
from recommender.justify.english import NEUTRAL
from recommender.justify.facts import facts_of, role, years_of
from recommender.justify.item_names import Word, forms, other_names, words
from recommender.justify.vocabulary import inflections

LONGEST = 2000
_QUOTED = re.compile(r'["“”„«»]([^"“”„«»]{1,120})["“”„«»]')
_MARK = re.compile(r"[,;:.!?#]")
_PROPER = re.compile(r"(?:\b[Ll]ike|\bby|\bstarring|\bdirector|\bto) ((?:[A-Z][\w.'-]+ ?){2,5})")
_NEVER_NAMES = frozenset(("year", "decade", "domain"))

Fact = tuple[str, str]


@dataclass(frozen=True)
class Question:
    """A question back. `items`: who it is about; `ranks`: places in the last list, from 1, -1 the last; `topic`: what a
    question for a fact is for, one of `fact_answers.TOPICS`."""

    kind: Literal["why", "why_not", "what_if", "fact"]
    items: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()
    topic: str = ""


@dataclass(frozen=True)
class Reading:
    """What one message asks for. Items are catalogue indices; a group of facts are alternatives, one of which must hold.

    `history`: liked or known; `anchors`: more like these; `dislikes`: not these; `ranks_*`: places in the last list, from
    1, -1 the last; `refused`: not for me; `only`, `without`: hard; `toward`: soft; `first_year`, `last_year`: inclusive;
    `years_out`: ranges; `query`: free words, where a list is wanted and nothing else was
    understood; `question`: asks back, and for no list; `act`: what the language model takes the message for, "" where it
    has not read it; `domains`: which of several catalogues are asked for, alternatives; `added`: beside those of before;
    `shares`: how many items of each; `corrects`: `only` stands in the place of earlier conditions of its kind.
    """

    history: tuple[int, ...] = ()
    anchors: tuple[int, ...] = ()
    dislikes: tuple[int, ...] = ()
    ranks_like: tuple[int, ...] = ()
    ranks_not: tuple[int, ...] = ()
    ranks_seen: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    ranks_refused: tuple[int, ...] = ()
    only: tuple[tuple[Fact, ...], ...] = ()
    without: tuple[tuple[Fact, ...], ...] = ()
    allowed_again: tuple[tuple[Fact, ...], ...] = ()
    toward: tuple[tuple[Fact, ...], ...] = ()
    first_year: int | None = None
    last_year: int | None = None
    years_out: tuple[tuple[int, int], ...] = ()
    any_year: bool = False
    any_kind: bool = False
    moods: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    count: int | None = None
    longer: int = 0
    new: bool = False
    reset: bool = False
    wants: bool = False
    query: str | None = None
    question: Question | None = None
    unknown: tuple[str, ...] = ()
    ambiguous: tuple[tuple[int, ...], ...] = ()
    act: str = ""
    domains: tuple[Fact, ...] = ()
    added: bool = False
    shares: tuple[tuple[Fact, int], ...] = ()
    corrects: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing at all was understood."""
        return replace(self, unknown=(), ambiguous=(), act="") == Reading()


class Reader:
    """Reads messages about one catalogue; built once."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Index the names and the attribute values of every item."""
        self.catalogue, self.domains = catalogue, DomainReader(catalogue)
        self._titles: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
        self._values: defaultdict[tuple[str, ...], set[Fact]] = defaultdict(set)
        for index, item in enumerate(catalogue):
            facts = facts_of(catalogue, index)
            for name in other_names(item, years_of(facts)):
                self._titles[forms(name)].add(index)
            for name, values in facts.items():
                for value in values if role(name) not in _NEVER_NAMES else ():
                    for text in inflections(name, value):
                        self._values[forms(text)].add((name, value))
        self._longest = max(map(len, [*self._titles, *self._values]), default=1)

    def read(self, message: str) -> Reading:
        """Return what a message asks for; nothing that it says can name an item outside the catalogue."""
        return _Message(self, message[:LONGEST]).reading()

    def title(self, name: str) -> set[int]:
        """Return the items that go by this name."""
        return self._titles.get(forms(name), set())

    def close(self, name: str) -> list[int]:
        """Return up to three items whose names resemble this one."""
        near = difflib.get_close_matches(" ".join(forms(name)), self._by_text, n=3, cutoff=0.75)
        return list(dict.fromkeys(min(self._by_text[key]) for key in near))

    @cached_property
    def _by_text(self) -> dict[str, set[int]]:
        return {" ".join(key): items for key, items in self._titles.items()}

    def at(self, found: list[Word], place: int) -> tuple[str, int, object] | None:
        """Return what begins at a word, the longest first: ("t", length, items) or ("v", length, facts)."""
        for length in range(min(self._longest, len(found) - place), 0, -1):
            run = found[place : place + length]
            key = tuple(word.form for word in run)
            if self.domains.facts and key in self._titles and self._spoken_of(found, place):
                return "t", length, tuple(sorted(self._titles[key]))
            if key in self._values and not all(word in NEUTRAL for word in key) and self._valued(key, run, place):
                return "v", length, tuple(sorted(self._values[key]))
            if key in self._titles and self._named(found, place, length, key):
                return "t", length, tuple(sorted(self._titles[key]))
            if length == 1 and (small := self._small(key)):
                return "w", 1, small
        return None

    def _valued(self, key: tuple[str, ...], run: list[Word], place: int) -> bool:
        kinds = {role(name) for name, _ in self._values[key]}
        if len(run) > 1 or kinds & {"kind", "artist", "brand"}:
            return True
        # where keywords are all that is known of a catalogue, any word may be one: "Not for kids"
        telling = not self.domains.kindless or (place > 0 and w.may_be_value(key[0]))
        return telling and run[0].text[0].isupper()

    @staticmethod
    def _spoken_of(found: list[Word], place: int) -> bool:
        """Whether a name with a capital follows a word of what people do with items: "I loved Alien" means no keyword."""
        return place > 0 and found[place].text[0].isupper() and found[place - 1].form in w.DONE_WITH

    def _small(self, key: tuple[str, ...]) -> tuple[Fact, ...]:
        """Return what one word without a capital may say in a catalogue of several that has no words for kinds."""
        if not self.domains.kindless or key not in self._values or not w.may_be_value(key[0]):
            return ()
        if key[0] in self.domains.words:
            return ()
        return tuple(
            fact for fact in sorted(self._values[key]) if set(self.domains.of([fact])) & set(self.domains.kindless)
        )

    def _named(self, found: list[Word], place: int, length: int, key: tuple[str, ...]) -> bool:
        """Whether words that happen to be a title are meant as one."""
        telling = [word for word in key if word not in NEUTRAL]
        capital = any(word.text[0].isupper() for word in found[max(place, 1) : place + length])
        if not telling:
            return capital and length > 1 and all(word.text[0].isupper() for word in found[place : place + length])
        before = {word.form for word in found[max(place - 1, 0) : place]}
        digits = len(telling) == 1 and telling[0].isdigit()
        after = {word.form for word in found[place + length : place + length + 1]}
        spoken_of = found[place].text[0].isupper() and bool(after & w.AFTER_NAME)
        return not digits and (len(telling) > 1 or capital or spoken_of or bool(before & w.BEFORE_NAME))


class _Message:
    """One message, marked and read."""

    def __init__(self, reader: Reader, text: str) -> None:
        self.reader, self.text = reader, text
        self.titles: list[tuple[int, ...]] = []
        self.values: list[tuple[Fact, ...]] = []
        self.unknown: list[str] = []
        self.small: dict[int, str] = {}
        self.tagged = self._tagged()
        if reader.domains.facts:
            self.tagged = clauses.settled(self.tagged, self.values, reader.domains, self.small)
            clauses.narrow(self.tagged, self.values, reader.domains)

    # marking

    def _tagged(self) -> str:
        parts, start = [], 0
        for found in _QUOTED.finditer(self.text):
            parts += [*self._plain(self.text[start : found.start()]), *self._quoted(found[1])]
            start = found.end()
        parts += self._plain(self.text[start:])
        self.unknown += [name for name in self._strangers() if name not in self.unknown]
        return f" {' '.join(parts)} "

    def _quoted(self, name: str) -> Iterator[str]:
        if items := self.reader.title(name):
            yield self._mark("t", tuple(sorted(items)))
        else:
            self.unknown.append(name)

    def _strangers(self) -> Iterator[str]:
        """Yield names in capitals behind "by" or "like" that the catalogue does not know."""
        for found in _PROPER.finditer(self.text):
            run = words(found[1])
            if not any(self.reader.at(run, place) for place in range(len(run))):
                yield found[1].strip(" .")

    def _plain(self, text: str) -> Iterator[str]:
        text = re.sub(r"(?<=n)['’](?=t\b)|(?<=\d)['’](?=s\b)", "", text)  # don't, 1980's
        found, place, cursor = words(text), 0, 0
        while place < len(found):
            yield from _MARK.findall(text[cursor : found[place].start])
            known = self.reader.at(found, place)
            length = 1
            if known:
                kind, length, meaning = known
                yield self._mark(kind, meaning)
                if kind == "w":
                    self.small[len(self.values) - 1] = found[place].form
            else:
                yield _word(found[place].form)
            cursor = found[place + length - 1].end
            place += length
        yield from _MARK.findall(text[cursor:])

    def _mark(self, kind: str, meaning: object) -> str:
        kept: list = self.titles if kind == "t" else self.values
        kept.append(meaning)
        return f"<{kind}{len(kept) - 1}>"

    # reading

    def reading(self) -> Reading:
        """Return what the patterns find, each in the text that the ones before it have left."""
        whole = self.tagged
        domains, shares = self.reader.domains.read(whole), self.reader.domains.shares(whole)
        counted = self._count()
        count = sum(number for _, number in shares) or counted
        if question := self._question():
            return Reading(question=question, unknown=tuple(self.unknown), ambiguous=self._ambiguous())
        years = self._years()
        refused, ranks_refused = self._refused()
        ranks_seen, ranks_not = self._ranks(w.SEEN_RANK), self._ranks(w.NOT_RANK)
        ranks_like = self._ranks(w.RANK)
        same = tuple(n for n, p in (("director", w.SAME_DIRECTOR), ("cast", w.SAME_CAST)) if self._cut(p))
        new, reset, any_year = self._cut(w.NEW), self._cut(w.RESET), self._cut(w.ANY_YEAR)
        any_kind = self._cut(w.ANY_KIND)
        longer = int(self._cut(w.LONGER)) - int(self._cut(w.SHORTER))
        moods = tuple(name for name, pattern in w.MOOD.items() if self._cut(pattern))
        again = self._facts(w.FINE_AGAIN)
        only = self._facts(w.ONLY)
        without = (*self._facts(w.NO_VALUE_AFTER), *self._facts(w.NO_VALUE))
        toward = self._facts(w.TASTE)
        dislikes, history = self._items(w.DISLIKED), self._items(w.SEEN)
        anchors = self._items(w.TITLE)
        reading = Reading(
            history, anchors, dislikes, ranks_like, ranks_not, ranks_seen, refused, ranks_refused,
            (*only, *self._facts(w.VALUE)), without,
            again, toward, *years, any_year, any_kind, moods, same, count, longer, new, reset,
            bool(w.WANTS.search(self.tagged) or domains), None, None, tuple(self.unknown), self._ambiguous(),
            domains=domains, shares=shares,
        )  # fmt: skip
        reading = self._of_domains(replace(reading, corrects=bool(reading.only and w.CORRECTS.search(whole))), whole)
        return replace(reading, query=self._query(reading))

    def _of_domains(self, reading: Reading, whole: str) -> Reading:
        """Return a reading with the domains that are meant and not named: a comedy is a film. `whole`: all that was said."""
        domains = self.reader.domains
        if not domains.facts:
            return reading
        about = clauses.meant(whole, reading.domains, self.values, self.titles, reading.only, reading.anchors, domains)
        bounds_years = (reading.first_year, reading.last_year, reading.years_out) != (None, None, ())
        if not about and bounds_years and not reading.anchors and len(domains.dated) == 1:
            about = domains.dated
        added, wants = bool(about) and clauses.added(whole), reading.wants or bool(about)
        shares, count = reading.shares, reading.count
        if shares and len(about) > len(shares):  # "three films and a mascara"
            shares = (*shares, *((domain, 1) for domain in about if domain not in dict(shares)))
            count = sum(number for _, number in shares)
        return replace(reading, domains=about, added=added, wants=wants, shares=shares, count=count)

    def _query(self, reading: Reading) -> str | None:
        """Return the free words of a message that wants a list and says in no other way of what; they rank by meaning.

        A message that negates something is none: what it names is not wanted. Nor is the turn that brings a picture.
        """
        without_these = replace(reading, domains=(), added=False, shares=())
        understood = replace(without_these, wants=False, count=None, reset=False, act="") != Reading()
        text = " ".join(self.text.split())
        if understood or not reading.wants or w.NEGATION.search(self.tagged) or w.PICTURE_TURN in text:
            return None
        nothing = NEUTRAL | w.COURTESY | self.reader.domains.words
        free = [word for word in self.tagged.split() if len(word) > 2 and word[0].isalpha()]
        free = [word for word in free if word not in nothing and not w.WANTS.fullmatch(word)]
        return text if free else None

    def _question(self) -> Question | None:
        """Return what is asked back; such a message asks for no list."""
        about = [(mark, int(number)) for mark, number in w.ABOUT.findall(self.tagged)]
        items = tuple(dict.fromkeys(self.titles[n][0] for mark, n in about if mark == "t"))
        ranks = tuple(number for mark, number in about if mark == "r")
        named = bool(items or ranks or self.unknown)
        if w.WHAT_IF.search(self.tagged):
            return Question("what_if", items, ranks)
        if named and w.WHY_NOT.search(self.tagged):
            return Question("why_not", items, ranks)
        if named and w.WHY.search(self.tagged) or w.WHY_THESE.search(self.tagged):
            return Question("why", items, ranks)
        topic = next((name for name, pattern in w.TOPICS.items() if pattern.search(self.tagged)), "")
        if topic and (named or w.IT.search(self.tagged)):
            return Question("fact", items, ranks, topic)
        return None

    def _refused(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return what is said to be "not for me": items, and places in the last list."""
        found = [mark for text in self._take(w.NOT_FOR_ME) for mark in w.ABOUT.findall(text)]
        items = tuple(self.titles[int(number)][0] for mark, number in found if mark == "t")
        return items, tuple(int(number) for mark, number in found if mark == "r")

    def _take(self, pattern: re.Pattern[str]) -> list[str]:
        """Return what matches and remove it."""
        found = [match.group() for match in pattern.finditer(self.tagged)]
        self.tagged = pattern.sub(" ", self.tagged)
        return found

    def _cut(self, pattern: re.Pattern[str]) -> bool:
        return bool(self._take(pattern))

    def _facts(self, pattern: re.Pattern[str]) -> tuple[tuple[Fact, ...], ...]:
        numbers = [int(n) for text in self._take(pattern) for n in re.findall(r"<v(\d+)>", text)]
        return tuple(self.values[n] for n in numbers)

    def _items(self, pattern: re.Pattern[str]) -> tuple[int, ...]:
        """Return the items of names; of namesakes the last one of the catalogue's order by year is not guessed at."""
        numbers = [int(n) for text in self._take(pattern) for n in re.findall(r"<t(\d+)>", text)]
        return tuple(dict.fromkeys(self.titles[n][0] for n in numbers))

    def _ambiguous(self) -> tuple[tuple[int, ...], ...]:
        return tuple(items for items in self.titles if len(items) > 1)

    def _ranks(self, pattern: re.Pattern[str]) -> tuple[int, ...]:
        return tuple(int(n) for text in self._take(pattern) for n in re.findall(r"<r(-?\d+)>", text))

    def _count(self) -> int | None:
        self.tagged = w.RANK_NUMBER.sub(r"<r\1>", self.tagged)
        found = w.COUNT.search(self.tagged)
        if not found:
            return None
        self.tagged = self.tagged[: found.start()] + " film " + self.tagged[found.end() :]
        return max(int(found[1] or found[2]), 1)

    def _years(self) -> tuple[int | None, int | None, tuple[tuple[int, int], ...]]:
        first, last, out = None, None, []
        for name, pattern in w.YEARS.items():
            while found := pattern.search(self.tagged):
                numbers = [part for part in found.groups() if part is not None]
                spans = [
                    (int(y), int(y) + 9 if s else int(y)) for y, s in zip(numbers[::2], numbers[1::2], strict=True)
                ]
                start, end = spans[0][0], spans[-1][1]
                self.tagged = f"{self.tagged[: found.start()]} film {self.tagged[found.end() :]}"
                if name == "not_in":
                    out.append((start, end))
                low, high = _bounds(name, start, end)
                first = low if low is not None else first
                last = high if high is not None else last
        return first, last, tuple(out)


def _bounds(name: str, start: int, end: int) -> tuple[int | None, int | None]:
    """Return the first and the last year that a phrase allows, for the years that it names."""
    return {
        "between": (start, end),
        "within": (start, end),
        "not_before": (start, None),
        "onwards": (start, None),
        "since": (start, None),
        "after": (end + 1, None),
        "not_after": (None, end),
        "until": (None, end),
        "up_to": (None, end),
        "before": (None, start - 1),
    }.get(name, (None, None))


def _word(form: str) -> str:
    if form in w.ORDINALS:
        return f"<r{w.ORDINALS[form]}>"
    if form in w.NUMBERS and form != "one":
        return str(w.NUMBERS[form])
    if form in w.DECADES:
        return f"{w.DECADES[form]}s"
    if re.fullmatch(r"\d0s", form):
        return f"{'20' if form < '20s' else '19'}{form}"
    return form
