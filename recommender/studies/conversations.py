"""A study of conversations: whether generated messages are read right, and whether answers meet what they ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from recommender.chat import Chat, Reading
from recommender.eval.generated_queries import Constraints, generate_queries, measure_answers
from recommender.justify.facts import facts_of, role, years_of

MOST_LISTED = 20
"""Misread messages in the result."""


def conversation_study(chat: Chat, count: int = 600, seed: int = 0) -> dict[str, Any]:
    """Return the share of `count` generated messages that are read right, and how many answered items meet all of them."""
    catalogue = chat.catalogue
    facts = [facts_of(catalogue, item) for item in range(len(catalogue))]
    kinds = Counter(v for known in facts for name, values in known.items() if role(name) == "kind" for v in values)
    years = sorted(int(year) for known in facts for year in years_of(known))
    frequent = [value for value, number in kinds.items() if number >= len(catalogue) / 200]
    queries = generate_queries(frequent, (years[len(years) // 50], years[-len(years) // 50]), count, seed)

    def answer(text: str) -> list[tuple[Any, int | None]]:
        items = chat.reply([{"role": "user", "content": text}], explain=False).items
        indices = [catalogue.index(item.item_id) for item in items]
        return [(facts[i], next(map(int, years_of(facts[i])), None)) for i in indices]

    measures = measure_answers(queries, lambda text: _constraints(chat.reader.read(text)), answer)
    return measures | {"misread": list(measures["misread"])[:MOST_LISTED]}  # type: ignore[call-overload]


def _constraints(reading: Reading) -> Constraints:
    """Return what was read of a message in the terms of the generated queries."""

    def joined(groups: Sequence[Sequence[tuple[str, str]]]) -> str | None:
        return " + ".join(sorted({group[0][1] for group in groups})) or None

    years_out = reading.years_out[0] if reading.years_out else None
    return Constraints(reading.first_year, reading.last_year, years_out, joined(reading.only), joined(reading.without))
