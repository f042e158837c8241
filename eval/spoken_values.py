"""How attribute values are spoken in a text: letter for letter, and kinds also as people say them ("romantic comedies")."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping

#: kinds that people say in other words
_SAID = {
    "sci-fi": ("science fiction", "sci-fi"),
    "science fiction": ("sci-fi",),
    "romance": ("romantic",),
    "animation": ("animated",),
    "biography": ("biographical",),
    "film-noir": ("noir",),
}
#: words of the wording itself, which no kind is read in unless it is spelled as in the catalogue
_WORDING = frozenset("all another more new next other same such film films movie movies book books song songs".split())


def spoken_values(values: Collection[str], kinds: Collection[str] = ()) -> Mapping[str, frozenset[str]]:
    """Return what may stand in a text -> the values that it means. `kinds`: those of the values that name a kind."""
    spoken: defaultdict[str, set[str]] = defaultdict(set)
    for value in values:
        if not value.isdigit():
            spoken[value].add(value)
    for kind in kinds:
        for form in _forms(kind):
            spoken[form].add(kind)
            spoken[form[:1].upper() + form[1:]].add(kind)
    return {form: frozenset(meant) for form, meant in spoken.items() if form}


def _forms(kind: str) -> set[str]:
    plain = kind.casefold()
    singular = {plain, *_SAID.get(plain, ())} - _WORDING
    plural = {f"{form[:-1]}ies" if form.endswith("y") else f"{form}s" for form in singular if form[-1:] != "s"}
    return singular | plural


def pattern_of(spoken: Collection[str]) -> re.Pattern[str] | None:
    """Return a pattern that finds any of these texts as whole words, the longest first; None if there are none."""
    words = sorted(spoken, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])") if words else None
