"""What suits a wish, by what is known of the items: the soft targets that a model learns to listen from.

A sum of plain signals, as `signals` has them, of what was really meant. In a made-up conversation that is known, while its
words must be read: a model that reads them as the sum does, and knows besides what the words mean, is better than the sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.conversations.company import Company
from recommender.conversations.signals import log_popularity
from recommender.conversations.wishes import Wish
from recommender.data.catalogue import Catalogue
from recommender.justify.english import SYNONYMS
from recommender.justify.facts import PEOPLE, fact_index, facts_of, role

#: items and works that are remembered of those that were liked last
REMEMBERED = 5
#: years by which items may differ before more differ no more
_MOST_YEARS = 40
#: a person of many items tells less of each
_FEW_ITEMS = 10


@dataclass(frozen=True)
class TasteWeights:
    """Nats of each signal. Chosen on a third of ReDial's cases with MovieLens-1M, by `signals.WeighedSum`."""

    popularity: float = 1.35
    company: float = 1.3
    closest: float = 1.05
    likeness: float = 5.9
    kinds_liked: float = 1.85
    years_liked: float = 0.022
    people_liked: float = 0.9
    kinds: float = 1.9
    tastes: float = 1.2
    not_kinds: float = 4.0
    people: float = 3.1
    not_people: float = 4.0
    themes: float = 2.2
    quoted: float = 2.0
    years: float = 2.0
    disliked: float = 4.0


class Taste:
    """Scores the items of one catalogue for wishes."""

    def __init__(
        self,
        catalogue: Catalogue,
        popularity: np.ndarray,
        company: Company,
        outside: Catalogue | None = None,
        weights: TasteWeights | None = None,
    ) -> None:
        """`popularity` [items]: logarithm of how often each was taken; `company`: what is taken together; `outside`: works
        that people name and the catalogue lacks."""
        self.catalogue, self.outside, self.weights = catalogue, outside, weights or TasteWeights()
        self.popularity, self.company = popularity, company
        self.kinds = _Kinds(catalogue, outside)
        self.people = _holders(catalogue, PEOPLE)
        self.themes = _holders(catalogue, ("theme", "keyword", "tag", "subject"))
        self.years = _years(catalogue)
        self.outside_years = _years(outside) if outside is not None else np.zeros(0)

    @classmethod
    def learned(cls, catalogue: Catalogue, histories: Sequence[np.ndarray], outside: Catalogue | None = None) -> Taste:
        """Count popularity and company in histories of catalogue indices."""
        items = len(catalogue)
        return cls(catalogue, log_popularity(histories, items), Company.counted(histories, items), outside)

    def scores(self, wish: Wish, likeness: np.ndarray | None = None, popular: bool = True) -> np.ndarray:
        """Return how well each item suits a wish, in nats, [items]; what was named has -inf.

        `likeness` [items]: cosines of what was said and the items' texts. `popular`: whether popularity counts.
        """
        w, total = self.weights, self.weights.popularity * self.popularity * popular
        if likeness is not None:
            total = total + w.likeness * likeness
        total = total + self._alike(wish)
        for group in wish.kinds:
            total = total + w.kinds * self.kinds.any_of(group)
        for kind in wish.tastes:
            total = total + w.tastes * self.kinds.any_of((kind,))
        for kind in wish.not_kinds:
            total = total - w.not_kinds * self.kinds.any_of((kind,))
        for person in wish.people:
            total[self.people.get(person, [])] += w.people
        for person in wish.not_people:
            total[self.people.get(person, [])] -= w.not_people
        for theme in wish.themes:
            total[self.themes.get(theme, [])] += w.themes
        for item in wish.quoted:
            total[item] += w.quoted
        if wish.years is not None:
            total = total + w.years * ((self.years >= wish.years[0]) & (self.years <= wish.years[1]))
        for row in self.company.rows(wish.disliked):
            total = total - w.disliked * row
        total[list(wish.named)] = -np.inf
        return np.asarray(total, np.float32)

    def _alike(self, wish: Wish) -> np.ndarray:
        """Return what speaks for items that are like those that were liked, [items]."""
        w, total = self.weights, np.zeros(len(self.catalogue))
        liked, outside = wish.liked, wish.outside[-REMEMBERED:]
        if liked:
            rows = self.company.rows(liked)
            total += w.company * rows.mean(0) + w.closest * rows.max(0)
        if not liked and not outside:
            return total
        total += w.kinds_liked * self.kinds.like(liked, outside)
        total -= w.years_liked * self.years_apart(liked, outside)
        total += w.people_liked * (self.of_people_in(liked[-REMEMBERED:], None) + self.of_people_in((), outside))
        return total

    def years_apart(self, liked: Sequence[int], outside: Sequence[int]) -> np.ndarray:
        """Return by how many years each item differs from the mean of some, [items]; 0 where nothing is known of these."""
        years = np.concatenate([self.years[list(liked)], self.outside_years[list(outside)]])
        known = years[years > 0]
        if not known.size:
            return np.zeros(len(self.catalogue))
        apart = np.minimum(np.abs(self.years - known.mean()), _MOST_YEARS)
        return np.where(self.years > 0, apart, _MOST_YEARS / 2)

    def of_people_in(self, liked: Sequence[int], outside: Sequence[int] | None) -> np.ndarray:
        """Return how much each item shares people with some items, or with works outside, [items]."""
        total = np.zeros(len(self.catalogue))
        sources = ((self.catalogue, liked), (self.outside, outside or ()))
        for source, entries in sources:
            for entry in entries:
                for person in _values(source, entry, PEOPLE):
                    items = self.people.get(person, [])
                    total[items] += 1 / (1 + len(items) / _FEW_ITEMS)
        return total


class _Kinds:
    """Which items are of which kinds, by any of the words that two tables have for one."""

    def __init__(self, catalogue: Catalogue, outside: Catalogue | None) -> None:
        self.names = {_one_word(kind): n for n, kind in enumerate(sorted(fact_index(catalogue).kind_items))}
        own = self._table(catalogue)
        rarity = np.log(len(own) / np.maximum(own.sum(0), 1))
        self.table = own
        self._own = _unit(own * rarity)
        self._outside = _unit(self._table(outside) * rarity) if outside is not None else np.zeros((0, len(self.names)))

    def any_of(self, kinds: Iterable[str]) -> np.ndarray:
        """Return bool [items]: which items have at least one of these kinds."""
        known = [self.names[word] for kind in kinds if (word := _one_word(kind)) in self.names]
        return np.asarray(self.table[:, known].any(1)) if known else np.zeros(len(self.table), bool)

    def like(self, items: Sequence[int], outside: Sequence[int]) -> np.ndarray:
        """Return the mean likeness of each item's kinds to those of items and outside works, [items]."""
        both = np.concatenate([self._own[list(items)], self._outside[list(outside)]])
        return np.asarray((both @ self._own.T).mean(0))

    def _table(self, catalogue: Catalogue) -> np.ndarray:
        table = np.zeros((len(catalogue), len(self.names)), np.float32)
        for item, kinds in enumerate(fact_index(catalogue).kinds):
            table[item, [self.names[word] for kind in kinds if (word := _one_word(kind)) in self.names]] = 1
        return table


def _one_word(kind: str) -> str:
    """Return one of several words for the same kind, casefolded."""
    word = kind.casefold()
    word = {"family": "children's", "kids": "children's", "music": "musical"}.get(word, word)
    return min((word, *SYNONYMS.get(word, ())), default=word) if word in SYNONYMS else word


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)


def _years(catalogue: Catalogue) -> np.ndarray:
    """Return the first year of each item, 0 where it has none."""
    return np.array([years[0] if years else 0 for years in fact_index(catalogue).years], np.int64)


def _values(catalogue: Catalogue | None, item: int, roles: Sequence[str]) -> tuple[str, ...]:
    if catalogue is None:
        return ()
    values = (v for name, vs in facts_of(catalogue, item).items() if role(name) in roles for v in vs)
    return tuple(dict.fromkeys(values))


def _holders(catalogue: Catalogue, roles: Sequence[str]) -> Mapping[str, list[int]]:
    """Return value -> the items that have it, for values of these roles."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for item in range(len(catalogue)):
        for value in _values(catalogue, item, roles):
            found[value].append(item)
    return dict(found)
