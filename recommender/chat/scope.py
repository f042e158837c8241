"""Which conditions of a conversation hold for which catalogue: a comedy is a film, and no shampoo has to be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recommender.chat.dialogue_state import DialogueState
from recommender.chat.domains import DomainReader
from recommender.chat.reader import Reading


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
