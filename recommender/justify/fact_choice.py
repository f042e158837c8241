"""Chooses which facts a justification states: those that tell most of the item, and that the score really hangs on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from recommender.justify import information
from recommender.justify.evidence import Evidence, Influence
from recommender.justify.facts import PEOPLE, FactIndex, role
from recommender.justify.facts import Fact as Pair
from recommender.justify.style import Style
from recommender.justify.templates import Fact

#: what is worth saying first: series, people, themes; then kinds; then any other attribute; years and decades last
_TIERS = {
    "series": 0,
    **dict.fromkeys(("director", "artist"), 1),
    "cast": 2,
    "writer": 3,
    **dict.fromkeys(("theme", "keyword", "tag", "subject"), 4),
    "kind": 5,
    "year": 7,
    "decade": 8,
}
_OTHER, _YEARS = 6, (7, 8)
#: facts that are no taste: two items that share them are not alike
_NO_TASTE = frozenset(("age rating", "publisher", "label", "year", "decade", "domain"))
#: facts of one item that its description leaves out: its year stands behind its name
_SAID_OTHERWISE = frozenset(("age rating", "year", "decade", "series", "publisher", "label", "domain"))
#: tiers of facts that say why, where a kind only says what
_SPECIFIC = 4
#: an influence counts for a specific fact if its effect is at least this share of the strongest one's
_SMALLEST_EFFECT = 0.1
#: roles of whoever made all of an item; a film's writer did not
_LEADING = ("director", "artist", "writer")
#: a second fact must tell so many bits more
_LEAST_GAIN = 1.0
#: bits of a kind that is true of an eighth of the catalogue
_COMMON = 3.0


class FactChoice:
    """Weighs facts by what they tell of an item in one catalogue, within what a style allows."""

    def __init__(self, index: FactIndex, sayable: Callable[[str], bool], style: Style) -> None:
        """`sayable`: whether a value in a text can be distinguished from plain words."""
        self.index, self.sayable, self.style = index, sayable, style
        self.least = information.telling(index)

    def shared(self, evidence: Evidence, influences: Sequence[Influence]) -> tuple[tuple[int, ...], tuple[Fact, ...]]:
        """Return which influences to name, and the facts that all of them share with the item; none if none tells enough.

        Sets of influences are weighed by the bits of what they share times their part of all effects. Series, people and
        themes go before kinds, and kinds before anything else, whatever they weigh.
        """
        total = sum(influence.effect for influence in influences) or 1.0
        strongest = max(influence.effect for influence in influences)
        best: tuple[tuple[bool, float], tuple[int, ...], tuple[Pair, ...]] | None = None
        for count in range(1, len(influences) + 1):
            for named in combinations(influences, count):
                items = tuple(influence.item for influence in named)
                pairs = [(f.name, f.value) for f in evidence.shared if set(items) <= set(f.items)]
                pairs = [pair for pair in pairs if role(pair[0]) not in _NO_TASTE]
                chosen = self._choose(pairs)
                told = information.bits(self.index, chosen)
                if not chosen or told < self.least:
                    continue
                counts = all(influence.effect >= _SMALLEST_EFFECT * strongest for influence in named)
                specific = counts and min(map(self._tier, chosen)) <= _SPECIFIC
                weight = told * sum(influence.effect for influence in named) / total
                if best is None or (specific, weight) > best[0]:
                    best = (specific, weight), items, chosen
        return (best[1], self._grouped(best[2])) if best else ((), ())

    def is_common(self, facts: Sequence[Fact]) -> bool:
        """Return whether shared facts are a common kind and no more: true of more than an eighth of the catalogue."""
        pairs = [(fact.name, value) for fact in facts for value in fact.values]
        return min(map(self._tier, pairs)) > _SPECIFIC and information.bits(self.index, pairs) < _COMMON

    def of_item(self, item: int, shared: Sequence[Fact] = (), with_year: bool = False) -> tuple[Fact, ...]:
        """Return what an item is: its kinds, and who made it or what it is about.

        `shared`: what is said already, so that its attributes are left out. `with_year`: also when it is from.
        """
        size, facts = self.style.size, self.index.facts[item]
        said = {role(fact.name) for fact in shared}
        named = {value for fact in shared for value in fact.values}
        groups = min(size.groups - len(shared) // 2, 2) if shared else size.groups
        said |= _SAID_OTHERWISE
        pairs = [(n, v) for n, values in facts.items() for v in values if role(n) not in said and v not in named]
        pairs = [pair for pair in pairs if self.sayable(pair[1])]
        if not with_year:
            pairs = [pair for pair in pairs if self._tier(pair) not in _YEARS]
        kinds = [pair for pair in pairs if role(pair[0]) == "kind"]
        others = [
            pair for pair in pairs if role(pair[0]) != "kind" and self._tier(pair) <= _OTHER and self._tells(pair)
        ]
        people = [pair for pair in others if self._tier(pair) <= _SPECIFIC]
        if groups < 1 or shared and size.groups == 1:
            return ()
        roles = frozenset(role(name) for name, _ in people)
        best = max(people or others, key=lambda pair: self._known(pair, roles), default=None)
        told = self._with_its_like(best, people) if best else ()
        if groups == 1 and best is not None and (shared or best in people):
            return self._grouped(told)
        chosen = self._choose(kinds, groups=1)
        return self._grouped((*chosen, *(told if groups > 1 or not chosen else ())))

    def _tells(self, pair: Pair) -> bool:
        """Whether a fact is true of less than half the catalogue: of films in English there are too many to say so."""
        return information.bits(self.index, [pair]) > 1

    def _with_its_like(self, best: Pair, pairs: Sequence[Pair]) -> tuple[Pair, ...]:
        """Return one of the people alone; of keywords and themes as many as tell most together."""
        if role(best[0]) in PEOPLE:
            return (best,)
        return self._choose([pair for pair in pairs if pair[0] == best[0]], groups=1) or (best,)

    def _known(self, pair: Pair, roles: frozenset[str]) -> tuple[int, bool, int, int]:
        """Return how telling one of several facts of an item is. `roles`: those of all of them.

        Whoever made all of it stands first, if more than this item is theirs, then who has most items.
        """
        who, count = role(pair[0]), len(self.index.items(pair))
        leads = who in _LEADING and not (who == "writer" and "director" in roles) and count > 1
        return -self._tier(pair), leads, count, -PEOPLE.index(who) if who in PEOPLE else -len(PEOPLE)

    def _choose(self, pairs: Iterable[Pair], groups: int | None = None) -> tuple[Pair, ...]:
        """Return the facts that together tell most, tier by tier, as many as the style allows."""
        groups = self.style.size.groups if groups is None else groups
        left = [pair for pair in pairs if self.sayable(pair[1])]
        chosen: list[Pair] = []
        told = 0.0
        while left:
            open_pairs = [pair for pair in left if self._fits(chosen, pair, groups)]
            if not open_pairs:
                break
            first = min(map(self._preference, open_pairs))
            of_tier = [pair for pair in open_pairs if self._preference(pair) == first]
            gains = [information.bits(self.index, [*chosen, pair]) - told for pair in of_tier]
            place = max(range(len(of_tier)), key=lambda n: gains[n])
            if not chosen or gains[place] >= _LEAST_GAIN:
                chosen.append(of_tier[place])
                told += gains[place]
                left.remove(of_tier[place])
            else:
                left = [pair for pair in left if self._preference(pair) > first]
        return tuple(chosen)

    def _fits(self, chosen: Sequence[Pair], pair: Pair, groups: int) -> bool:
        names = [name for name, _ in chosen]
        if pair[0] in names:
            return names.count(pair[0]) < self.style.size.values
        # a decade is never added to what tells more, nor is a year to its decade
        vague = self._tier(pair) in _YEARS
        return len(set(names)) < groups and not (vague and names)

    def _tier(self, pair: Pair) -> int:
        return _TIERS.get(role(pair[0]), _OTHER)

    def _preference(self, pair: Pair) -> tuple[int, int]:
        """Return what goes first: attributes that this reader prefers, then the tiers."""
        prefers = self.style.prefers
        return (prefers.index(pair[0]) if pair[0] in prefers else len(prefers), self._tier(pair))

    def _grouped(self, pairs: Iterable[Pair]) -> tuple[Fact, ...]:
        """Return facts with the values of one attribute together, kinds first and awards last."""
        values: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            values[name].append(value)
        names = sorted(values, key=lambda name: (role(name) != "kind") + (role(name) == "award"))
        return tuple(Fact(name, tuple(values[name])) for name in names)
