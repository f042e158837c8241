"""What a person found helpful decides what is explained to them next: the kind of fact that comes first, and the length.

Nobody is asked. Each choice is drawn in proportion to how often it was found helpful, so that it is learned while others
are still tried now and then (Roth and Erev, "Learning in Extensive-Form Games", Games and Economic Behavior 1995). Weights
are squared, which settles sooner. The draw is a function of the person, the item and what they have said so far, so the
same question has the same answer.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from recommender.config import LENGTHS, Length
from recommender.justify.facts import PEOPLE, role
from recommender.justify.item_names import DOUBLE_QUOTES
from recommender.justify.style import CROWD, SIZES, Style

_Choice = TypeVar("_Choice")

#: what is found helpful in a sentence is the most specific thing that it tells; kinds of facts, most specific first
KINDS: tuple[frozenset[str], ...] = (
    frozenset(("series",)),
    frozenset(PEOPLE),
    frozenset(("theme", "keyword", "tag", "subject")),
    frozenset(("kind",)),
)
#: weights of lengths before anything was said: mostly the configured one, the others now and then
_CONFIGURED, _TRIED = 2.0, 0.5
#: words, a name counted as one, of a sentence that is called short; with more names than a normal one has it is detailed
_SHORT_WORDS = 15
_NAME = re.compile(f"[{DOUBLE_QUOTES}][^{DOUBLE_QUOTES}]+[{DOUBLE_QUOTES}]")
_CROWD = re.compile(r"\b(?:who|others|people)\b.*\balso\b|\balso\b.*\b(?:who|others|people)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Helpful:
    """One justification that somebody found helpful: the attributes that it told, and its text ("" if unknown)."""

    attributes: tuple[str, ...] = ()
    text: str = ""


def length_of(text: str) -> Length:
    """Return which length a justification has: by its words, a name counting as one, and the items that it names."""
    names = len(_NAME.findall(text)) - 1  # the recommended item is one of them
    words = len(_NAME.sub("name", text).split())
    if names > SIZES["normal"].named or words > SIZES["normal"].words:
        return "detailed"
    return "short" if names <= SIZES["short"].named and words <= _SHORT_WORDS else "normal"


def kind_of(mark: Helpful) -> tuple[str, ...]:
    """Return the attributes of the most specific kind that a justification told; (CROWD,) where it told what others did."""
    if _CROWD.search(_NAME.sub("name", mark.text)):
        return (CROWD,)
    for kind in KINDS:
        if told := tuple(name for name in mark.attributes if role(name) in kind):
            return told
    return mark.attributes[:1]


@dataclass(frozen=True)
class ExplanationTaste:
    """What one person found helpful: how often each length and each kind of fact. Empty for somebody who said nothing."""

    person: str
    lengths: Mapping[Length, int]
    kinds: Mapping[tuple[str, ...], int]

    @classmethod
    def of(cls, person: str, marks: Iterable[Helpful]) -> ExplanationTaste:
        """Count what somebody found helpful."""
        marks = tuple(marks)
        kinds = Counter(kind for kind in map(kind_of, marks) if kind)
        return cls(person, Counter(length_of(mark.text) for mark in marks if mark.text), kinds)

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing to go by."""
        return not self.lengths and not self.kinds

    @property
    def most_named(self) -> int:
        """How many history items the longest justification that may be drawn names; 0: none is drawn."""
        return max(size.named for size in SIZES.values()) if self.lengths else 0

    def style(self, style: Style, item: int) -> Style:
        """Return the style in which `item` is explained to this person; `style`: that of the configuration."""
        if self.says_nothing:
            return style
        length, prefers = style.length, style.prefers
        if self.lengths:
            weights = {
                one: (_CONFIGURED if one == style.length else _TRIED) + self.lengths.get(one, 0) for one in LENGTHS
            }
            length = self._drawn(weights, f"length {item}")
        if self.kinds:
            prefers = self._drawn(self.kinds, f"kind {item}")
        return replace(style, length=length, prefers=prefers)

    def _drawn(self, weights: Mapping[_Choice, float], of: str) -> _Choice:
        """Draw one of the choices in proportion to its squared weight."""
        said = sum(self.lengths.values()) + sum(self.kinds.values())
        place = zlib.crc32(f"{self.person} {said} {of}".encode()) / 2**32 * sum(w * w for w in weights.values())
        for choice, weight in weights.items():
            place -= weight * weight
            if place < 0:
                return choice
        return next(reversed(list(weights)))
