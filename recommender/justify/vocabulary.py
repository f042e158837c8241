"""The vocabulary of a catalogue: finds item names and attribute values in a text, the longest ones first."""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from recommender.data.catalogue import Catalogue
from recommender.justify.english import CLITICS, CUES, NEUTRAL, SYNONYMS
from recommender.justify.facts import facts_of, label, role, years_of
from recommender.justify.item_names import DOUBLE_QUOTES, Word, forms, other_names, words

Kind = Literal["title", "value", "cue", "word", "mark", "unknown"]
_DOUBLE_QUOTED = re.compile(f"[{DOUBLE_QUOTES}]([^{DOUBLE_QUOTES}]*)[{DOUBLE_QUOTES}]")
_OPENING, _CLOSING = re.compile(r"(?<!\w)['‘](?=\w)"), re.compile(r"(?<=\S)['’](?!\w)")
_MARK = re.compile(r"[,;:.!?()—–…]")
_APOSTROPHES = "'’"


@dataclass(frozen=True)
class Span:
    """A piece of a text. `items`: those with this name; `facts`: (attribute, value) pairs; `roles`: of a cue."""

    kind: Kind
    text: str
    form: str
    start: int
    end: int
    items: frozenset[int] = frozenset()
    facts: frozenset[tuple[str, str]] = frozenset()
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Entry:
    """One way to write a name or a value: its words as written and the marks between them."""

    surface: tuple[str, ...]
    marks: tuple[str, ...]
    item: int = -1
    fact: tuple[str, str] = ("", "")


class Vocabulary:
    """Finds names, values, cues and plain words in texts; built once for a catalogue."""

    def __init__(self, catalogue: Catalogue, phrases: Mapping[str, str] | None = None) -> None:
        """Index the names and the facts of every item. `phrases`: attribute -> how its value is said, "rated {values}"."""
        self.facts = tuple(facts_of(catalogue, index) for index in range(len(catalogue)))
        self._titles: defaultdict[tuple[str, ...], list[_Entry]] = defaultdict(list)
        self._values: defaultdict[tuple[str, ...], list[_Entry]] = defaultdict(list)
        self._longest: dict[str, int] = {}
        for index, item in enumerate(catalogue):
            for name in other_names(item, years_of(self.facts[index])):
                self._add(self._titles, name, item=index)
        for fact in {(name, value) for facts in self.facts for name, values in facts.items() for value in values}:
            for text in inflections(*fact):
                self._add(self._values, text, fact=fact)
        names = {name for facts in self.facts for name in facts}
        self._cues = {cue: roles for name in names for cue, roles in _name_cues(name)}
        self._cues |= {(word,): roles for word, roles in CUES.items() if (word,) not in self._cues}
        for name, phrase in (phrases or {}).items():
            if key := forms(phrase.partition("{values}")[0]):
                self._cues[key] = self._cues.get(key, frozenset()) | {role(name)}

    def _add(self, index: defaultdict[tuple[str, ...], list[_Entry]], text: str, **meaning: object) -> None:
        text_words = words(text)
        key = tuple(word.form for word in text_words)
        if not key:
            return
        surface = tuple(word.text for word in text_words)
        index[key].append(_Entry(surface, _marks_between(text, text_words), **meaning))  # type: ignore[arg-type]
        self._longest[key[0]] = max(self._longest.get(key[0], 1), len(key))

    def withholding(self, catalogue: Catalogue, items: Iterable[int]) -> Vocabulary:
        """Return a copy for a catalogue that withholds facts of these items and is the same for all others."""
        other, facts = copy.copy(self), list(self.facts)
        other._titles = self._titles.copy()
        for index in items:
            facts[index] = facts_of(catalogue, index)
            before, after = (other_names(catalogue[index], years_of(f[index])) for f in (self.facts, facts))
            for key in {forms(name) for name in before} - {forms(name) for name in after}:
                namesakes = [entry for entry in other._titles.pop(key, []) if entry.item != index]
                if namesakes:
                    other._titles[key] = namesakes
        other.facts = tuple(facts)
        return other

    def sayable(self, value: str) -> bool:
        """Return whether a value in a text can be distinguished from plain words."""
        return any(word not in NEUTRAL for word in forms(value))

    def spans(self, text: str, neutral: frozenset[str]) -> Iterator[Span]:
        """Cut a text into spans, in order. `neutral`: the words that claim nothing."""
        start = 0
        for opening, closing in _quotations(text, self._is_known):
            yield from self._plain(text, start, opening, neutral)
            yield self._quoted(text, opening + 1, closing)
            start = closing + 1
        yield from self._plain(text, start, len(text), neutral)

    def _is_known(self, text: str) -> bool:
        key = forms(text)
        return key in self._titles or key in self._values

    def _quoted(self, text: str, start: int, end: int) -> Span:
        """Return the span of a quotation: a whole name, a whole value, or unknown."""
        inner = text[start:end]
        key = forms(inner)
        if key in self._titles:
            items = frozenset(entry.item for entry in self._titles[key])
            return Span("title", inner, "", start, end, items=items)
        if key in self._values:
            return Span("value", inner, "", start, end, facts=frozenset(entry.fact for entry in self._values[key]))
        return Span("unknown", inner, "", start, end)

    def _plain(self, text: str, start: int, end: int, neutral: frozenset[str]) -> Iterator[Span]:
        part = [Word(word.text, word.form, word.start + start, word.end + start) for word in words(text[start:end])]
        position, cursor = 0, start
        while position < len(part):
            word = part[position]
            yield from _marks(text, cursor, word.start)
            span, length = self._longest_span(text, part, position, neutral)
            yield span
            position += length
            cursor = span.end
        yield from _marks(text, cursor, end)

    def _longest_span(self, text: str, part: list[Word], position: int, neutral: frozenset[str]) -> tuple[Span, int]:
        """Return the longest span that begins with a word, and how many words it has."""
        first = part[position]
        most = min(self._longest.get(first.form, 0), len(part) - position)
        for length in range(most, 0, -1):
            run = part[position : position + length]
            if span := self._name_or_value(text, run, neutral):
                return span, length
        for length in (3, 2, 1):
            run = part[position : position + length]
            if len(run) == length and (roles := self._cues.get(tuple(word.form for word in run))):
                return _span("cue", text, run, roles=roles), length
        return self._word(text, first, neutral), 1

    def _word(self, text: str, word: Word, neutral: frozenset[str]) -> Span:
        if word.form in CLITICS and text[word.start - 1 : word.start] in tuple(_APOSTROPHES):
            return _span("mark" if word.form == "s" else "word", text, [word])
        capital = word.text[0].isupper() and not _opens(text, word)
        return _span("word" if word.form in neutral and not capital else "unknown", text, [word])

    def _name_or_value(self, text: str, run: list[Word], neutral: frozenset[str]) -> Span | None:
        """Return a run of words as a name, if spelled exactly like it, or as a value, in any case."""
        key, surface = tuple(word.form for word in run), tuple(word.text for word in run)
        marks = _marks_between(text, run)
        plain = all(word in neutral for word in key)
        proper = _is_proper(surface) and not (
            _opens(text, run[0]) and (plain or len(run) == 1 and run[0].form in self._cues)
        )
        titles = [e for e in self._titles.get(key, ()) if proper and e.surface == surface and _fits(marks, e.marks)]
        values = [
            e
            for e in self._values.get(key, ())
            if _fits(marks, e.marks) and (not plain or proper and e.surface == surface)
        ]
        if values and (not titles or any(entry.surface == surface for entry in values)):
            return _span("value", text, run, facts=frozenset(entry.fact for entry in values))
        if titles:
            return _span("title", text, run, items=frozenset(entry.item for entry in titles))
        return None


def _span(kind: Kind, text: str, run: list[Word], **meaning: object) -> Span:
    start, end = run[0].start, run[-1].end
    return Span(kind, text[start:end], " ".join(word.form for word in run), start, end, **meaning)  # type: ignore[arg-type]


def _opens(text: str, word: Word) -> bool:
    return not any(char.isalnum() for char in text[: word.start])


def _is_proper(surface: tuple[str, ...]) -> bool:
    """A name without quotation marks is recognised by a capital; long ones also without."""
    return len(surface) > 2 or any(word[0].isupper() for word in surface)


def _marks(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _MARK.finditer(text, start, end):
        yield Span("mark", match.group(), match.group(), match.start(), match.end())


def _marks_between(text: str, run: list[Word]) -> tuple[str, ...]:
    gaps = (text[left.end : right.start] for left, right in zip(run, run[1:], strict=False))
    return tuple("".join(_MARK.findall(gap)) for gap in gaps)


def _fits(marks: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether the marks between words fit a name: some may be missing, but a mark that the name has not separates words."""
    return all(not mark or mark == other for mark, other in zip(marks, known, strict=True))


def _quotations(text: str, is_known: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Return where quotation marks open and close, in order."""
    double = [(match.start(), match.end() - 1) for match in _DOUBLE_QUOTED.finditer(text)]
    single: list[tuple[int, int]] = []
    outside = 0
    for start, end in [*double, (len(text), len(text))]:
        single += _single(text, outside, start, is_known)
        outside = end + 1
    return sorted(double + single)


def _single(text: str, start: int, end: int, is_known: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yield pairs of single quotation marks. They are apostrophes too, so a pair around a known name is preferred."""
    while opening := _OPENING.search(text, start, end):
        closings = [match.start() for match in _CLOSING.finditer(text, opening.end(), end)]
        if not closings:
            return
        closing = next((c for c in closings if is_known(text[opening.end() : c])), closings[0])
        yield opening.start(), closing
        start = closing + 1


def inflections(name: str, value: str) -> Iterator[str]:
    """Yield a value as it may be spelled: plural, singular, without a possessive ending, and its synonyms."""
    yield value
    if not value or not value[-1].isalpha() or any(char.isdigit() for char in value):
        return  # "1990" is not the singular of "1990s"
    yield f"{value}s"
    if value.endswith("y"):
        yield f"{value[:-1]}ies"
    if value.endswith(("s", "x", "z", "ch", "sh")):
        yield f"{value}es"
    if value.endswith("s") and not value.endswith("ss") and len(value) > 3:
        yield value[:-3] + "y" if value.endswith("ies") else value[:-1].rstrip(_APOSTROPHES)
    if role(name) == "kind":
        yield from SYNONYMS.get(value.casefold(), ())


def _name_cues(name: str) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """Yield the words of an attribute's name, singular and plural, as cues for it."""
    singular = label(name)
    for text in {singular, f"{singular}s", name.replace("_", " ")}:
        key = forms(text)
        if key and not all(word in NEUTRAL for word in key):
            yield key, frozenset({role(name)}) | CUES.get(text, frozenset())
