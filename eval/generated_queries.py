"""Generated queries for a conversation, each with the constraints that every item of the answer must meet.

Half of the phrasings, the unseen ones, were written after the reader of messages was finished and never used to build
it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Facts = Mapping[str, Sequence[str]]
"""Attribute -> the values of an item."""

#: constraint -> phrasings, seen and unseen; {a}, {b}: attribute values; {y}, {z}: years; {d}: a decade
PHRASINGS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "after": (
        ("nothing before {y}", "only films from {y} or later", "something made since {y}", "no films older than {y}"),
        (
            "I don't watch anything that came out before {y}",
            "please stick to {y} and later",
            "it shouldn't be older than {y}",
            "films released from {y} onwards, please",
        ),
    ),
    "before": (
        ("nothing after {y}", "only films from {y} or earlier", "no films newer than {y}", "something up to {y}"),
        (
            "I don't care for anything made after {y}",
            "it should not be newer than {y}",
            "show me films from {y} and earlier",
            "nothing more recent than {y}, please",
        ),
    ),
    "between": (
        (
            "films between {y} and {z}",
            "something from {y} to {z}",
            "a film made between {y} and {z}",
            "from {y} until {z}",
        ),
        (
            "what do you have that was released between {y} and {z}?",
            "I'm curious about the years from {y} to {z}",
            "could we look at films from {y} through {z}",
            "anything good between {y} and {z}?",
        ),
    ),
    "decade": (
        ("a film from the {d}s", "something from the {d}s", "films of the {d}s", "show me films made in the {d}s"),
        (
            "I'm in the mood for the {d}s",
            "take me back to the {d}s",
            "what was good in the {d}s?",
            "any {d}s films worth watching?",
        ),
    ),
    "not_decade": (
        ("not from the {d}s", "nothing from the {d}s", "no films from the {d}s", "avoid films from the {d}s"),
        (
            "please skip anything from the {d}s",
            "I've had enough of films from the {d}s",
            "leave out everything from the {d}s",
            "I can't stand films made in the {d}s",
        ),
    ),
    "only": (
        ("a {a} film", "show me {a} films", "something {a}, please", "I want a {a} movie"),
        (
            "how about some {a}?",
            "tonight calls for {a}",
            "we'd fancy a good {a} film",
            "got any decent {a} movies?",
        ),
    ),
    "without": (
        (
            "no {a}",
            "nothing with {a}",
            "anything but {a}",
            "I don't want {a} films",
            "please spare me the {a}",
            "{a} isn't my thing",
            "keep {a} out of it",
        ),
        (
            "I'd rather not see any {a}",
            "I'm not a fan of {a}",
            "there should be no {a} in the list",
            "{a} leaves me cold",
        ),
    ),
    "only_without": (
        ("a {a} film but no {b}", "{a} without {b}", "show me {a} films, nothing with {b}", "I want {a}, not {b}"),
        (
            "some {a} would be lovely, as long as there is no {b}",
            "{a} please, and skip the {b}",
            "I fancy {a}, though never {b}",
            "give me {a} films that are not {b}",
        ),
    ),
    "only_after": (
        (
            "a {a} film from {y} or later",
            "{a}, nothing before {y}",
            "{a} films since {y}",
            "a {a} movie made after {y0}",
        ),
        (
            "any {a} that was not made before {y}?",
            "something in the {a} line, {y} or newer",
            "recent {a} films, no older than {y}",
            "I'd take {a} from {y} on",
        ),
    ),
}


@dataclass(frozen=True)
class Constraints:
    """What a query asks for: first and last year, inclusive; `out`: a range of years to avoid; a value to have, and one
    not to have."""

    first: int | None = None
    last: int | None = None
    out: tuple[int, int] | None = None
    only: str | None = None
    without: str | None = None

    def met_by(self, values: Sequence[str], year: int | None) -> bool:
        """Return whether an item with these attribute values and this year meets all constraints."""
        bounded = self.first is not None or self.last is not None or self.out is not None
        if bounded and year is None or self.only is not None and self.only not in values or self.without in values:
            return False
        if not bounded or year is None:
            return True
        low, high = self.first or 0, 9999 if self.last is None else self.last
        return low <= year <= high and not (self.out and self.out[0] <= year <= self.out[1])


@dataclass(frozen=True)
class GeneratedQuery:
    """A message and what it asks for. constraint: a key of `PHRASINGS`; unseen: which half its phrasing is of."""

    text: str
    expected: Constraints
    constraint: str
    unseen: bool


def generate_queries(
    values: Sequence[str], years: tuple[int, int], count: int = 600, seed: int = 0
) -> list[GeneratedQuery]:
    """Return `count` queries on attribute values and a range of years, evenly over constraints, seen and unseen."""
    draw = random.Random(seed)
    kinds = list(PHRASINGS)
    return [_query(kinds[n % len(kinds)], bool(n // len(kinds) % 2), values, years, draw) for n in range(count)]


def _query(
    kind: str, unseen: bool, values: Sequence[str], years: tuple[int, int], draw: random.Random
) -> GeneratedQuery:
    a, b = draw.sample(list(values), 2)
    y, z = sorted(draw.sample(range(years[0], years[1] + 1), 2))
    d = draw.randrange(max(years[0], 1930) // 10 * 10, years[1] + 1, 10)
    text = draw.choice(PHRASINGS[kind][unseen])
    spelled = [value if draw.random() < 0.5 else value.lower() for value in (a, b)]
    expected = {
        "after": Constraints(first=y),
        "before": Constraints(last=y),
        "between": Constraints(first=y, last=z),
        "decade": Constraints(first=d, last=d + 9),
        "not_decade": Constraints(out=(d, d + 9)),
        "only": Constraints(only=a),
        "without": Constraints(without=a),
        "only_without": Constraints(only=a, without=b),
        "only_after": Constraints(first=y, only=a),
    }[kind]
    return GeneratedQuery(text.format(a=spelled[0], b=spelled[1], y=y, y0=y - 1, z=z, d=d), expected, kind, unseen)


def measure_answers(
    queries: Sequence[GeneratedQuery],
    understand: Callable[[str], Constraints],
    answer: Callable[[str], Sequence[tuple[Facts, int | None]]],
) -> dict[str, object]:
    """Return the shares of messages read right (of all, seen and unseen phrasings, and each constraint), the number of
    answered items, how many of them meet all constraints, and the misread messages.

    `understand`: message -> the constraints read. `answer`: message -> attributes and year of each item of the answer.
    """
    read_right: defaultdict[str, list[bool]] = defaultdict(list)
    misread, shown, meeting_all = [], 0, 0
    for query in queries:
        understood = understand(query.text) == query.expected
        for name in ("all", "unseen" if query.unseen else "seen", query.constraint):
            read_right[name].append(understood)
        if not understood:
            misread.append(query.text)
        items = answer(query.text) if understood else ()
        shown += len(items)
        meeting_all += sum(query.expected.met_by([v for vs in f.values() for v in vs], year) for f, year in items)
    shares = {name: round(sum(marks) / len(marks), 4) for name, marks in read_right.items()}
    counts = {"items": shown, "items_meeting_all": meeting_all}
    return {"queries": len(queries), "read_right": shares, **counts, "misread": misread}
