"""Finds series among the titles of a catalogue: sequels, episodes, numbered parts.

A series is a name that at least two titles begin with and go on from by a number, a colon or a bracket: "Die Hard",
"Die Hard 2", "Die Hard: With a Vengeance". One plain title alone is no series, nor are titles that begin alike by chance,
nor those of a catalogue that only counts: "Song 1", "Song 2".
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from recommender.justify.item_names import words

_NUMERAL = r"(?:[2-9]|1[0-9]|II|III|IV|V|VI|VII|VIII|IX|X|XI|XII|XIII)"
_SEQUEL = re.compile(
    rf"^(?P<name>.+?)[,:]? (?:-+ )?(?:(?:Part|Vol\.|Volume|Book|Episode|Chapter|No\.|#) ?)?{_NUMERAL}(?:\b[^.]*)?$"
)
_COLON = re.compile(r"^(?P<name>[^:]{3,}?)(?: (?:[IVX]+|\d{1,2}|3-?D))?: ")
_NUMBERED = re.compile(r"^(?P<name>.+?) \d+$")
_YEAR = re.compile(r" \(\d{4}\)$")
#: words of a name of a series that may stand alone; a single common word ("The", "Love") begins too many titles
_SHORTEST = 3
#: what more titles begin with than this share of all, and than so many, is how they are numbered: "Song 11"
_LARGEST_SHARE, _MANY = 0.2, 12


def series_of(titles: Sequence[str]) -> list[str | None]:
    """Return for each title the name of its series, as the first title that gives it spells it; None if it has none."""
    plain = [_YEAR.sub("", title).strip() for title in titles]
    members: defaultdict[str, set[int]] = defaultdict(set)
    names: dict[str, str] = {}
    for index, title in enumerate(plain):
        for name in _names(title):
            members[_key(name)].add(index)
            names.setdefault(_key(name), name)
    for index, title in enumerate(plain):  # the first one of a series has no number
        if _key(title) in members:
            members[_key(title)].add(index)
            names[_key(title)] = title
    numbered = Counter(_key(match["name"]) for title in plain if (match := _NUMBERED.match(title)))
    most = max(_LARGEST_SHARE * len(titles), _MANY)
    series: list[str | None] = [None] * len(titles)
    for key in sorted(members, key=len):  # the longest name that several share says most
        only_counts = max(len(members[key]), numbered[key]) > most
        if not only_counts and len({_key(plain[index]) for index in members[key]}) > 1 and len(key) >= _SHORTEST:
            for index in members[key]:
                series[index] = names[key]
    return series


def _names(title: str) -> Iterable[str]:
    """Yield what the series of a title would be called, if it is one of a series."""
    for pattern in (_SEQUEL, _COLON):
        if match := pattern.match(title):
            yield match["name"].strip(" ,:-")


def _key(title: str) -> str:
    return " ".join(word.form for word in words(title))
