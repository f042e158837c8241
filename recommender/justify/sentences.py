"""Sentences from evidence: the message that asks the LLM for one, and the plain one that is true by construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recommender import prompts
from recommender.catalogue import Catalogue
from recommender.justify.evidence import Evidence, facts_with_decade

VARIANTS = 4
MOST_FACTS = 2
#: a value may be said of every item that the sentence names, so plain numbers are left to the decade
SPOKEN = ("genres", "genre", "categories", "category", "director", "brand", "keywords", "cast", "decade")


def ask(catalogue: Catalogue, evidence: Evidence, noun: str) -> str:
    """Return the user's message that asks for a justification."""
    return prompts.render_block("explain", "ask", noun=noun, **_parts(catalogue, evidence))


def plain(catalogue: Catalogue, evidence: Evidence, variant: int | None = None) -> str:
    """Return a true sentence; without `variant` one of its wordings is chosen by the item."""
    parts = _parts(catalogue, evidence)
    names = [f'"{name}"' for name in parts["liked"]]
    chosen = evidence.item if variant is None else variant
    sentence = prompts.render_block(
        "explain",
        "plain",
        variant=chosen % VARIANTS,
        liked_names=_listed(names),
        fact_names=_listed(parts["facts"]),
        **parts,
    )
    return sentence[0].upper() + sentence[1:]


def _parts(catalogue: Catalogue, evidence: Evidence) -> dict[str, Any]:
    liked = [catalogue[i.item].title.replace('"', "'") for i in evidence.influences]
    title = catalogue[evidence.item].title.replace('"', "'")
    return {"title": title, "liked": liked, "facts": common_facts(catalogue, evidence)}


def common_facts(catalogue: Catalogue, evidence: Evidence) -> list[str]:
    """Return at most two values that hold for the item and for every influence; of a cold start its own."""
    if not evidence.influences:
        own = facts_with_decade(catalogue, evidence.item)
        return [value for name in SPOKEN for value in own.get(name, ())][:MOST_FACTS]
    everyone = len(evidence.influences)
    shared = [fact for fact in evidence.shared if len(fact.items) == everyone and fact.name in SPOKEN]
    return [fact.value for fact in sorted(shared, key=lambda fact: SPOKEN.index(fact.name))][:MOST_FACTS]


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
