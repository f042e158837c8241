"""What a conversation asks for so far: readings folded into hard constraints and preferences, and what these do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recommender.chat.english_patterns import MOODS
from recommender.chat.reader import Fact, Reading
from recommender.data.attribute_index import NO_ITEMS
from recommender.data.catalogue import Catalogue
from recommender.data.joining import DOMAIN
from recommender.justify.facts import FactIndex, Facts, fact_index, role, years_of

MOST = 20
#: nats; enough to move an item past others of like score, not past all
TASTE = 1.0
DISLIKE = 1.5

_YEARS = ("first_year", "last_year")
#: fields that hold one constraint, not several -> what they hold without it
_SINGLE: Mapping[str, Any] = {**dict.fromkeys(_YEARS), "domains": ()}

Groups = tuple[tuple[Fact, ...], ...]


@dataclass(frozen=True)
class DialogueState:
    """Hard: `only`, `without`, years, `domains` of which an item is of one, `hidden` items. Soft: `toward`, `moods`,
    `anchors`, `dislikes`, `query` in free words, `pointed`: items of a list that more are wanted like. `k`: list length, of
    which `shares` are for each domain; `undated`: domains that bounds of years do not concern;
    `usual`: `domains` where no message asked for them."""

    history: tuple[int, ...] = ()
    anchors: tuple[int, ...] = ()
    dislikes: tuple[int, ...] = ()
    hidden: frozenset[int] = frozenset()
    only: Groups = ()
    without: Groups = ()
    toward: Groups = ()
    moods: tuple[str, ...] = ()
    first_year: int | None = None
    last_year: int | None = None
    years_out: tuple[tuple[int, int], ...] = ()
    query: str | None = None
    k: int = 5
    pointed: tuple[int, ...] = ()
    domains: tuple[Fact, ...] = ()
    shares: tuple[tuple[Fact, int], ...] = ()
    undated: tuple[Fact, ...] = ()
    usual: tuple[Fact, ...] = ()

    @property
    def nothing_known(self) -> bool:
        """Whether there is nothing to go by."""
        said = replace(self, domains=(), shares=(), usual=()) if self.usual else self
        return replace(said, k=5, hidden=frozenset()) == DialogueState()

    def after(self, reading: Reading, shown: Sequence[int], ever_shown: Iterable[int], k: int) -> DialogueState:
        """Return the state after one more message. `shown`: the last list, `ever_shown`: all, `k`: the first length."""
        start = DialogueState(history=self.history, k=k) if reading.reset else self
        start = replace(start, only=(), without=()) if reading.any_kind else start
        start = replace(start, only=start._uncorrected(reading)) if reading.corrects else start
        liked, unliked, seen = (
            items_at_ranks(r, shown) for r in (reading.ranks_like, reading.ranks_not, reading.ranks_seen)
        )
        out = (*reading.dislikes, *unliked, *reading.refused, *items_at_ranks(reading.ranks_refused, shown))
        again = {fact for group in reading.allowed_again for fact in group}
        without = tuple(group for group in _joined(start.without, reading.without) if not set(group) & again)
        forbidden = {fact for group in reading.without for fact in group}
        # what is taken back is no condition any more, unless the same message sets it
        only = tuple(group for group in start.only if not set(group) & again)
        hidden = {*start.hidden, *out, *reading.anchors, *liked, *seen, *(ever_shown if reading.new else ())}
        return replace(
            start,
            history=_joined(start.history, (*reading.history, *seen)),
            anchors=_joined((), (*reading.anchors, *liked)) or start.anchors,
            dislikes=_joined(start.dislikes, out),
            hidden=frozenset(hidden | set(reading.history)),
            only=tuple(g for g in _joined(only, reading.only) if not set(g) & forbidden),
            without=without,
            toward=_joined(start.toward, reading.toward),
            moods=_joined(start.moods, reading.moods),
            query=reading.query or start.query,
            pointed=liked or start.pointed,
            domains=reading.domains or start.domains,  # who wants films and then products wants products
            shares=reading.shares if reading.count or reading.domains else start.shares,
            **start._years(reading),
            k=start._length(reading, k),
        )

    def _uncorrected(self, reading: Reading) -> Groups:
        """Return the conditions but those on what the last message says anew: who wants a drama wants no comedy more."""
        names = {name for group in reading.only for name, _ in group}
        return tuple(group for group in self.only if not names & {name for name, _ in group})

    def _years(self, reading: Reading) -> dict:
        """A later message about years replaces an earlier bound; both bounds at once replace both."""
        if reading.any_year:
            return {"first_year": None, "last_year": None, "years_out": ()}
        first = self.first_year if reading.first_year is None else reading.first_year
        last = self.last_year if reading.last_year is None else reading.last_year
        return {"first_year": first, "last_year": last, "years_out": _joined(self.years_out, reading.years_out)}

    def _length(self, reading: Reading, first: int) -> int:
        """Return how long the list is to be; nobody talks it beyond `MOST`, or what it was at first."""
        wanted = reading.count or (
            self.k * 2 if reading.longer > 0 else (self.k + 1) // 2 if reading.longer else self.k
        )
        return min(max(wanted, 1), max(MOST, first))

    # hard

    def contradiction(self) -> str | None:
        """Return what cannot hold at once, in words."""
        if self.first_year and self.last_year and self.first_year > self.last_year:
            return f"from {self.first_year} on, and not after {self.last_year}"
        both = {fact for group in self.only for fact in group} & {fact for group in self.without for fact in group}
        return f"{min(both)[1]} and no {min(both)[1]}" if both else None

    def allowed(self, catalogue: Catalogue) -> np.ndarray:
        """Return bool [items]: what meets every hard constraint. What is not known of an item does not meet it."""
        index, allowed = fact_index(catalogue), np.ones(len(catalogue), dtype=bool)
        for group in self.only:
            allowed &= index.having(group)
        for group in self.without:
            allowed &= ~index.having(group)
        if self.domains:
            allowed &= index.having(self.domains)
        if self._bounds_years:
            allowed &= index.with_years(self._accepts_year) | index.having(self.undated)
        allowed[list(self.hidden)] = False
        return allowed

    @property
    def _bounds_years(self) -> bool:
        return self.first_year is not None or self.last_year is not None or bool(self.years_out)

    def _accepts_year(self, year: int) -> bool:
        low, high = self.first_year or 0, 9999 if self.last_year is None else self.last_year
        return low <= year <= high and not any(first <= year <= last for first, last in self.years_out)

    def _meets(self, facts: Facts) -> bool:
        if not all(_holds(group, facts) for group in self.only) or any(_holds(g, facts) for g in self.without):
            return False
        if self.domains and not _holds(self.domains, facts):
            return False
        if not self._bounds_years or _holds(self.undated, facts):
            return True
        years = years_of(facts)
        return bool(years) and all(self._accepts_year(int(year)) for year in years)

    def parts(self) -> list[tuple[str, DialogueState]]:
        """Return every hard constraint in words, with the state as it would be without it."""
        return [(words, self._dropping(name, part)) for words, name, part in self._constraints()]

    def failed_by(self, facts: Facts) -> tuple[list[str], DialogueState]:
        """Return which constraints an item with these facts does not meet, in words, and the state without those."""
        unmet, rest = [], self
        for words, name, part in self._constraints():
            alone: Any = part if name in _SINGLE else (part,)
            if not DialogueState(**{name: alone}, undated=self.undated)._meets(facts):
                unmet.append(words)
                rest = rest._dropping(name, part)
        return unmet, rest

    def _constraints(self) -> list[tuple[str, str, Any]]:
        """Return every hard constraint: in words, the field that it stands in, and its part of the field."""
        constraints: list[tuple[str, str, Any]] = [(_spoken(group), "only", group) for group in self.only]
        if self.domains:
            constraints.append((_spoken(self.domains), "domains", self.domains))
        constraints += [(f"no {_spoken(group)}", "without", group) for group in self.without]
        if self.first_year is not None:
            constraints.append((f"{self.first_year} or later", "first_year", self.first_year))
        if self.last_year is not None:
            constraints.append((f"{self.last_year} or earlier", "last_year", self.last_year))
        for years in self.years_out:
            constraints.append((f"not from {' to '.join(map(str, dict.fromkeys(years)))}", "years_out", years))
        return constraints

    def _dropping(self, name: str, part: Any) -> DialogueState:
        left: Any = _SINGLE[name] if name in _SINGLE else _less(getattr(self, name), part)
        return replace(self, **{name: left})

    # soft

    def gains(self, catalogue: Catalogue) -> np.ndarray:
        """Return float [items], in nats: how much better or worse each item suits the preferences."""
        index, gains = fact_index(catalogue), np.zeros(len(catalogue))
        for mood in self.moods:
            for kind, nats in MOODS[mood].items():
                gains[index.kind_items.get(kind, NO_ITEMS)] += nats
        for group in self.toward:
            gains += TASTE * index.having(group)
        for item in self.dislikes:
            gains -= DISLIKE * _kind_overlap(index, item)
        return gains


def _kind_overlap(index: FactIndex, item: int) -> np.ndarray:
    """Return float [items]: the share of kinds that each item has in common with one (Jaccard)."""
    shared = np.zeros(len(index.facts), dtype=np.int64)
    for kind in index.kinds[item]:
        shared[index.kind_items[kind]] += 1
    return shared / np.maximum(index.kind_counts + len(index.kinds[item]) - shared, 1)


def _holds(group: Iterable[Fact], facts: Facts) -> bool:
    return any(value in facts.get(name, ()) for name, value in group)


def items_at_ranks(ranks: Iterable[int], shown: Sequence[int]) -> tuple[int, ...]:
    """Return the items of a list at these ranks: from 1, -1 the last; ranks that it does not have are left out."""
    return tuple(shown[r - 1 if r > 0 else r] for r in ranks if r and -len(shown) <= r <= len(shown))


def _less(old: tuple, part: object) -> tuple:
    return tuple(other for other in old if other != part)


def _joined(old: tuple, new: Iterable) -> tuple:
    return tuple(dict.fromkeys((*old, *new)))


def _spoken(group: Sequence[Fact]) -> str:
    """Say a condition; that another domain need not meet it is understood."""
    own = [value for name, value in group if role(name) != DOMAIN] or [value for _, value in group]
    return " or ".join({value.casefold(): value for value in reversed(own)}[key] for key in _keys(own))


def _keys(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(value.casefold() for value in values))
