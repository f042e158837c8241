"""Query synthesis: queries in words for attributes and descriptions of items, and which items match them.

The ranker learns from them that words before a history say what is wanted; a new user has nothing else to give.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.facts import facts_of, label, role

BOTH_SHARE = 0.25
"""Share of the queries that combine two."""
DESCRIPTION_SHARE = 0.25
"""Share of the queries that quote the description, for items that have one."""
MOST_WORDS = 12
_BLOCKS = {
    **{name: name for name in ("kind", "year", "decade", "cast")},
    **dict.fromkeys(("director", "writer", "artist"), "maker"),
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class SynthesizedQuery:
    """A query in words. `matches` bool [items]; `name`, `value`: the attribute and value that it asks for."""

    text: str
    matches: np.ndarray
    name: str
    value: str


class QuerySynthesizer:
    """Makes queries that items of one catalogue match."""

    def __init__(self, catalogue: Catalogue, noun: str) -> None:
        """`noun`: what is recommended, in the plural."""
        self.catalogue, self.noun = catalogue, noun
        self.facts = [[(n, v) for n, vs in facts_of(catalogue, i).items() for v in vs] for i in range(len(catalogue))]
        self.items_with: dict[tuple[str, str], list[int]] = {}
        for item, facts in enumerate(self.facts):
            for fact in facts:
                self.items_with.setdefault(fact, []).append(item)

    def draw(self, history: np.ndarray, random: np.random.Generator) -> tuple[str, np.ndarray] | None:
        """Return a query for a random item of a history [n], and which items of the history match it, bool [n].

        None if the item has neither attributes nor a description.
        """
        item = int(random.choice(history))
        query = self.query(item, random)
        if query is None:
            return None
        other = self.query(item, random) if random.random() < BOTH_SHARE else None
        if other is None or other.name == query.name:
            return query.text, query.matches[history]
        both = _phrase("both", random, first=query.text, second=other.text)
        return both, (query.matches & other.matches)[history]

    def query(self, item: int, random: np.random.Generator) -> SynthesizedQuery | None:
        """Return a query that an item matches: for one of its attributes, or in words of its description."""
        text = self.catalogue[item].text
        if text and random.random() < DESCRIPTION_SHARE:
            return self._quote(item, text, random)
        names = list(dict.fromkeys(name for name, _ in self.facts[item]))
        if not names:
            return None
        name = names[int(random.integers(len(names)))]
        values = [value for other, value in self.facts[item] if other == name]
        return self.query_for(name, values[int(random.integers(len(values)))], random)

    def query_for(self, name: str, value: str, random: np.random.Generator) -> SynthesizedQuery:
        """Return a query for items with this value of an attribute."""
        block = _BLOCKS.get(role(name), "other")
        text = _phrase(block, random, spoken=value, noun=self.noun, label=label(name))
        return SynthesizedQuery(text, self._mask(self.items_with.get((name, value), [])), name, value)

    def _quote(self, item: int, description: str, random: np.random.Generator) -> SynthesizedQuery:
        sentences = _SENTENCE.split(description)
        words = sentences[int(random.integers(len(sentences)))].split()
        start = int(random.integers(max(len(words) - MOST_WORDS, 0) + 1))
        quoted = " ".join(words[start : start + MOST_WORDS])
        text = _phrase("about", random, spoken=quoted, noun=self.noun)
        return SynthesizedQuery(text, self._mask([item]), "description", quoted)

    def _mask(self, items: list[int]) -> np.ndarray:
        mask = np.zeros(len(self.catalogue), dtype=bool)
        mask[items] = True
        return mask


def _phrase(block: str, random: np.random.Generator, **variables: str) -> str:
    """Return a random line of a block of prompts/query.jinja: each line is one way to phrase the query."""
    on_one_line = {name: " ".join(text.split()) for name, text in variables.items()}
    lines = [line.strip() for line in prompts.render_block("query", block, **on_one_line).splitlines()]
    return lines[int(random.integers(len(lines)))]
