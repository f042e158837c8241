"""Queries put into words: sentences that ask for what an item is, and which items of the catalogue meet them.

The ranker learns from them that words in front of a history say what is wanted; whoever is new has nothing else to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.facts import facts_of, label, role

BOTH = 0.25
"""Share of the queries that ask for two things at once."""
ABOUT = 0.25
"""Share of the queries for an item with a description that quote a part of it."""
WORDS = 12
_BLOCKS = {
    **{name: name for name in ("kind", "year", "decade", "cast")},
    **dict.fromkeys(("director", "writer", "artist"), "maker"),
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class SynthesizedQuery:
    """What somebody says that they want; `met` bool [items]: by what. `name`, `value`: the fact that it asks for."""

    text: str
    met: np.ndarray
    name: str
    value: str


class QuerySynthesizer:
    """Words the queries that the items of one catalogue meet."""

    def __init__(self, catalogue: Catalogue, noun: str) -> None:
        """`noun`: what is recommended, in the plural."""
        self.catalogue, self.noun = catalogue, noun
        self.facts = [[(n, v) for n, vs in facts_of(catalogue, i).items() for v in vs] for i in range(len(catalogue))]
        self.having: dict[tuple[str, str], list[int]] = {}
        for item, facts in enumerate(self.facts):
            for fact in facts:
                self.having.setdefault(fact, []).append(item)

    def draw(self, history: np.ndarray, random: np.random.Generator) -> tuple[str, np.ndarray] | None:
        """Return a query for one of the items of a history [n], and which of them meet it, bool [n].

        None if nothing is known of the item that was drawn.
        """
        item = int(random.choice(history))
        query = self.query(item, random)
        if query is None:
            return None
        other = self.query(item, random) if random.random() < BOTH else None
        if other is None or other.name == query.name:
            return query.text, query.met[history]
        both = _line("both", random, first=query.text, second=other.text)
        return both, (query.met & other.met)[history]

    def query(self, item: int, random: np.random.Generator) -> SynthesizedQuery | None:
        """Return a query that an item meets: for one of its attributes, or in words of its description."""
        text = self.catalogue[item].text
        if text and random.random() < ABOUT:
            return self._about(item, text, random)
        names = list(dict.fromkeys(name for name, _ in self.facts[item]))
        if not names:
            return None
        name = names[int(random.integers(len(names)))]
        values = [value for other, value in self.facts[item] if other == name]
        return self.asking(name, values[int(random.integers(len(values)))], random)

    def asking(self, name: str, value: str, random: np.random.Generator) -> SynthesizedQuery:
        """Return a query for what has this value of an attribute."""
        block = _BLOCKS.get(role(name), "other")
        text = _line(block, random, spoken=value, noun=self.noun, label=label(name))
        return SynthesizedQuery(text, self._met(self.having.get((name, value), [])), name, value)

    def _about(self, item: int, text: str, random: np.random.Generator) -> SynthesizedQuery:
        sentences = _SENTENCE.split(text)
        words = sentences[int(random.integers(len(sentences)))].split()
        start = int(random.integers(max(len(words) - WORDS, 0) + 1))
        quoted = " ".join(words[start : start + WORDS])
        return SynthesizedQuery(
            _line("about", random, spoken=quoted, noun=self.noun), self._met([item]), "description", quoted
        )

    def _met(self, items: list[int]) -> np.ndarray:
        met = np.zeros(len(self.catalogue), dtype=bool)
        met[items] = True
        return met


def _line(block: str, random: np.random.Generator, **spoken: str) -> str:
    whole = {name: " ".join(text.split()) for name, text in spoken.items()}  # a line is a phrasing
    lines = [line.strip() for line in prompts.render_block("query", block, **whole).splitlines()]
    return lines[int(random.integers(len(lines)))]
