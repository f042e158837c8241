"""A study of conversations: whether generated messages are read right, and whether answers meet what they ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from recommender.chat import Chat, Message, Reading
from recommender.conversations.wishes import COURTESY
from recommender.data.catalogue import Catalogue
from recommender.eval.generated_dialogues import Understood, generate_dialogues, measure_dialogues
from recommender.eval.generated_queries import Constraints, generate_queries, measure_answers
from recommender.justify.facts import fact_index, facts_of, role, years_of
from recommender.justify.item_names import display_name, words

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

    relaxed: list[str] = []

    def answer(text: str) -> list[tuple[Any, int | None]]:
        reply = chat.reply([{"role": "user", "content": text}], explain=False)
        relaxed.extend([text] if reply.relaxed else [])  # a list that says what it does not meet is no wrong answer
        items = () if reply.relaxed else reply.items
        indices = [catalogue.index(item.item_id) for item in items]
        return [(facts[i], next(map(int, years_of(facts[i])), None)) for i in indices]

    measures = measure_answers(queries, lambda text: _constraints(chat.understand(_messages([text]))[0]), answer)
    told: dict[str, Any] = {**measures, "lists that left a condition out": len(relaxed)}
    return told | {"misread": list(told["misread"])[:MOST_LISTED]}


def _constraints(reading: Reading) -> Constraints:
    """Return what was read of a message in the terms of the generated queries."""

    def joined(groups: Sequence[Sequence[tuple[str, str]]]) -> str | None:
        return " + ".join(sorted({group[0][1] for group in groups})) or None

    years_out = reading.years_out[0] if reading.years_out else None
    return Constraints(reading.first_year, reading.last_year, years_out, joined(reading.only), joined(reading.without))


def dialogue_study(chat: Chat, count: int = 200, seed: int = 0) -> dict[str, Any]:
    """Return the share of `count` generated dialogues that are read right, by subject, and how many items meet them."""
    catalogue = chat.catalogue
    index = fact_index(catalogue)
    names = {v.casefold(): v for facts in index.facts for n, vs in facts.items() if role(n) == "kind" for v in vs}
    frequent = [value for kind, value in sorted(names.items()) if len(index.kind_items[kind]) >= len(catalogue) / 50]
    dialogues = generate_dialogues(frequent, _telling_titles(catalogue), count, seed)

    def understand(texts: Sequence[str]) -> Understood:
        reading, state = chat.understand(_messages(texts))
        titles = (*state.anchors, *state.history)
        act = "list" if reading.question is None else reading.question.topic or reading.question.kind
        if chat.is_courtesy(reading, _messages(texts)):
            return Understood(act=COURTESY)
        if reading.question is not None:
            return Understood(act=act)
        return Understood(
            frozenset(frozenset(value for _, value in group) for group in state.only),
            frozenset(value for group in state.without for _, value in group),
            frozenset(display_name(catalogue[item]) for item in titles),
            state.first_year is not None or state.last_year is not None,
            act,
        )

    def answer(texts: Sequence[str]) -> list[frozenset[str]]:
        reply = chat.reply(_messages(texts), explain=False)
        items = () if reply.relaxed else reply.items
        facts = [facts_of(catalogue, catalogue.index(item.item_id)) for item in items]
        return [frozenset(value for values in known.values() for value in values) for known in facts]

    return measure_dialogues(dialogues, understand, answer).as_dict()


def _telling_titles(catalogue: Catalogue) -> list[tuple[str, str, str]]:
    """Return names without year, years and shown names of items whose names are unmistakable: two words and more that no
    other item has."""
    found = []
    for item in range(len(catalogue)):
        year = next(iter(years_of(facts_of(catalogue, item))), None)
        name = display_name(catalogue[item])
        bare = name.removesuffix(f" ({year})")
        if year and 2 <= len(words(bare)) <= 4 and bare.replace(" ", "").isalpha() and len(bare) >= 9:
            found.append((bare, year, name))
    names = Counter(bare.casefold() for bare, _, _ in found)
    return [title for title in found if names[title[0].casefold()] == 1]


def _messages(texts: Sequence[str]) -> list[Message]:
    """Return the messages of a user whom nobody answered."""
    return [{"role": "user", "content": text} for text in texts]
