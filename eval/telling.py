"""How much a justification tells: the bits of all its true claims together, and whether it speaks of something of its own.

The strongest joint claim of a text is all that it truly claims of the recommended item, taken together; it tells minus
log2 of the share of the catalogue's items of which all of it is true. A text that tells less than log2(5) bits could stand
beside more than a fifth of the catalogue, and is called vacuous. Years in brackets behind a name only say which one is
meant, so they are no claim. Works on item indices, and shares nothing with the product's own choice of facts.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.eval.grounding import ParsedClaim, Subject

VACUOUS = math.log2(5)
"""Bits of what is true of a fifth of the catalogue."""
_QUOTED = re.compile(r'"[^"]*"')
_IN_BRACKETS = re.compile(r'"[^"]*" \((\d{4})\)')
_WORD = re.compile(r"[^\W_]+")
#: words of a passage, and how many of them must be long enough to have content
_PASSAGE, _CONTENT, _LONG = 4, 2, 4


@dataclass(frozen=True)
class Told:
    """What one justification tells. `bits` of its strongest joint claim; `of`: what of its own it names."""

    bits: float
    of: frozenset[str]

    @property
    def vacuous(self) -> bool:
        """Whether it is true of more than a fifth of the catalogue, or claims nothing."""
        return self.bits < VACUOUS


class TellingReader:
    """Weighs the claims of texts by the items of one catalogue that they are true of."""

    def __init__(
        self, items: Sequence[Subject], own: Mapping[str, Collection[str]], descriptions: Sequence[str] = ()
    ) -> None:
        """`items`, `descriptions`: by index. `own`: what is an item's own (person, series, theme) -> its values."""
        self.items = items
        self.own = {name: frozenset(values) for name, values in own.items()}
        self.descriptions = [_plain(text) for text in descriptions]
        self._holders: defaultdict[str | int, list[int]] = defaultdict(list)
        for index, item in enumerate(items):
            keys: list[str | int] = [*item.values, *item.years]
            for key in keys:
                self._holders[key].append(index)

    def read(self, text: str, claims: Sequence[ParsedClaim], item: int) -> Told:
        """Return what a justification of item `item` tells. `claims`: as `Grounding.claims` reads it."""
        bracketed = Counter(_IN_BRACKETS.findall(text))
        holders: np.ndarray | None = None
        named: set[str] = set()
        for claim in claims:
            if not claim.true or claim.kind not in ("value", "year"):
                continue
            if claim.kind == "year" and bracketed[claim.text] > 0:
                bracketed[claim.text] -= 1
                continue
            having = self._having(claim)
            if item not in having:  # said of a history item alone
                continue
            named |= {name for name, values in self.own.items() if claim.kind == "value" and claim.text in values}
            holders = having if holders is None else np.intersect1d(holders, having, assume_unique=True)
        if self._passage(text, item):
            return Told(math.log2(len(self.items)), frozenset(named | {"passage"}))
        return Told(0.0 if holders is None else math.log2(len(self.items) / len(holders)), frozenset(named))

    def _having(self, claim: ParsedClaim) -> np.ndarray:
        if claim.kind == "value":
            return np.array(self._holders[claim.text], dtype=np.int64)
        first = int(claim.text[:4])
        years = range(first, first + (10 if claim.text.endswith("s") else 1))
        return np.array(sorted({item for year in years for item in self._holders[year]}), dtype=np.int64)

    def _passage(self, text: str, item: int) -> bool:
        """Return whether the text, beside the names, holds a run of words of the item's description."""
        if not self.descriptions or not self.descriptions[item].strip():
            return False
        names = {f'"{name}"' for name in self.items[item].names}
        kept = _QUOTED.sub(lambda match: " | " if match[0] in names else match[0], text)
        return any(self._in_description(part, item) for part in kept.split("|"))

    def _in_description(self, part: str, item: int) -> bool:
        words = _plain(part).split()
        runs = (words[start : start + _PASSAGE] for start in range(len(words) - _PASSAGE + 1))
        return any(
            sum(len(word) > _LONG for word in run) >= _CONTENT and f" {' '.join(run)} " in self.descriptions[item]
            for run in runs
        )


def _plain(text: str) -> str:
    return f" {' '.join(word.casefold() for word in _WORD.findall(text))} "


def telling_measures(told: Sequence[Told]) -> dict[str, float | dict[str, float]]:
    """Return median and mean bits, the share of vacuous texts, and the shares that name something of the item's own."""
    count = max(len(told), 1)
    names = ("person", "series", "theme", "passage")
    return {
        "bits_median": float(np.median([one.bits for one in told])) if told else 0.0,
        "bits_mean": sum(one.bits for one in told) / count,
        "vacuous": sum(one.vacuous for one in told) / count,
        "claims_nothing": sum(one.bits == 0 for one in told) / count,
        "of_its_own": sum(bool(one.of) for one in told) / count,
        "names": {name: sum(name in one.of for one in told) / count for name in names},
    }
