"""Which conditions of a conversation hold for which catalogue: a comedy is a film, and no shampoo has to be one.

And which catalogues a list is of, and how they take turns in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from recommender.chat.dialogue_state import DialogueState
from recommender.chat.domains import DomainReader, masks_of
from recommender.chat.reader import Reading
from recommender.data.catalogue import Catalogue
from recommender.engine.turns import no_domain
from recommender.justify.facts import Fact
from recommender.numerics.turns import Turn


def known_domains(named: Mapping[str, int], domains: DomainReader) -> dict[Fact, int]:
    """Return domains by name as facts of the catalogue, with the same numbers. Raises RecommenderError for unknown ones."""
    known = {value.casefold(): (name, value) for name, value in domains.facts}
    if unknown := [name for name in named if name.casefold() not in known]:
        raise no_domain(unknown[0], [value for _, value in domains.facts])
    return {known[name.casefold()]: number for name, number in named.items()}


def of_usual(state: DialogueState, usual: Mapping[str, int], domains: DomainReader) -> DialogueState:
    """Return a state that is of the usual domains unless a message asks for others, or for what is like items of some.

    `usual`: domain -> how many of its items at most, 0 for any number. Raises RecommenderError for unknown domains.
    """
    most = known_domains(usual, domains)
    if state.domains or not most:
        return state
    alike = [domain for domain in domains.item_domains(state.anchors) if domain in most]
    facts = tuple(alike or most)
    shares = tuple((fact, most[fact]) for fact in facts if most[fact])
    return replace(state, domains=facts, usual=facts, shares=state.shares or shares)


def turns(state: DialogueState, catalogue: Catalogue) -> tuple[Turn, ...]:
    """Return the turns of the domains that a list is of; one has none."""
    if len(state.domains) < 2:
        return ()
    shares, masks = dict(state.shares), masks_of(catalogue, state.domains)
    return tuple(Turn(mask, shares.get(fact, 0)) for fact, mask in zip(state.domains, masks, strict=True))


def concerning(state: DialogueState, said: Reading, domains: DomainReader) -> DialogueState:
    """Return a state without earlier conditions that nothing of the domains asked for now can meet.

    They come back with their domain. What the last message itself says stays, so that the reply can say that it is left out.
    """
    if not state.domains:
        return state
    asked = set(state.domains)
    only = tuple(group for group in state.only if group in said.only or asked & set(domains.of(group)))
    years_said = (said.first_year, said.last_year, said.years_out) != (None, None, ())
    if years_said or asked & set(domains.dated):
        return replace(state, only=only)
    return replace(state, only=only, first_year=None, last_year=None, years_out=())


def eased(state: DialogueState, domains: DomainReader) -> DialogueState:
    """Return a state of several domains whose conditions bind only items of those domains that can meet them."""
    if len(state.domains) < 2:
        return state
    only = tuple((*group, *_others(state, domains.of(group))) for group in state.only)
    dated = (state.first_year, state.last_year, state.years_out) != (None, None, ())
    return replace(state, only=only, undated=_others(state, domains.dated) if dated else ())


def _others(state: DialogueState, domains: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the domains asked for beside these; none where that would be all."""
    others = tuple(domain for domain in state.domains if domain not in domains)
    return others if len(others) < len(state.domains) else ()
