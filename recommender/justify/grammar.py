"""Who did what in an English sentence: patterns over its tags, where names stand as <I>, <H> and <B>, values as <V>."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from recommender.justify.english import TASTE, DomainWords, domain_words, history_verbs

_OFTEN = r"(?:(?:also|already|once|just) )*"
_MODAL = r"(?:may|might|could|would|should|will|can|ll|d)"
_LIKE = rf"{_MODAL} {_OFTEN}(?:like|enjoy|want|appreciate|try)"
_YEAR = r"(?:\( <V> \) )?"
_AND = r"(?:, and |, |and |or |as well as )"
_HISTORY = r"history (?:has|have|holds|includes|with|of)"
_AFTER = r"after|following|follows?|based on|besides|given|thanks to|fans? of"
_OFFER = r"try|(?:we|is) (?:suggest|recommend)|suggesting|recommending|(?:here|next) is|suggestion is"
_OFFERED = r"(?:suggested|recommended|suggestion|recommendation|pick|choice|option|next|match|fit|one)"
_BE = rf"(?:is|are|was|be|{_MODAL}|a|an|the|good|natural|next|fitting|also|our|another)"


@dataclass(frozen=True)
class Grammar:
    """Patterns over a sentence written as tags: <I> the recommended item, <H> a history item, <B> a name of both,
    <V> a value, other words and marks as they are.

    `deed`: words that say what somebody did or liked; they may stand only within `allowed`. `possible_liking`: what the
    reader may come to like. `unseen`: the recommended item in the place of a history item. `unoffered`: a history item
    in the place of the recommended one.
    """

    deed: re.Pattern[str]
    allowed: re.Pattern[str]
    possible_liking: re.Pattern[str]
    unseen: re.Pattern[str]
    unoffered: re.Pattern[str]


@lru_cache(maxsize=64)
def grammar(noun: str, liked: bool = False) -> Grammar:
    """Return the patterns for sentences that recommend `noun` (in the plural).

    `liked`: what people had they are known to have liked.
    """
    words = domain_words(noun)
    verbs = "|".join(map(re.escape, history_verbs(noun, liked)))
    did = rf"you (?:have |ve |had )?{_OFTEN}(?:{verbs})"
    return Grammar(
        deed=re.compile(rf"\b(?:you|your|{verbs}|{'|'.join(sorted(TASTE))}|(?:recommend|suggest)(?:ed|ing)?)\b"),
        allowed=_any(*_allowed(did, verbs)),
        possible_liking=re.compile(rf"\b{_LIKE}\b"),
        unseen=_any(*_unseen(did, _fill(words))),
        unoffered=_any(*_unoffered(_fill(words))),
    )


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _fill(words: DomainWords) -> str:
    """Return the pattern of what may stand before a name without changing who is meant."""
    nouns = "|".join(
        map(re.escape, (words.singular, words.plural, *words.other_nouns, "title", "titles", "item", "items"))
    )
    return rf"(?:(?:the|a|an|both|also|<V>|{nouns}|:|and) )*"


def _allowed(did: str, verbs: str) -> tuple[str, ...]:
    ends = r"(?: (?:[,.!;:]|<|because|since|as|after|following|alongside|and|who|if|based|is)|$)"
    return (
        rf"\b{did}\b",
        rf"\bif you {_OFTEN}(?:like|liked|enjoy|enjoyed|want|wanted|love|loved|{verbs})\b",
        rf"\byou {_LIKE}\b",
        rf"\b(?:for|to|with|suits?|fits?) you(?={ends})",
        rf"\byour {_OFTEN}(?:history|choices?|next|list)\b",
        rf"\b(?:is|are|was|were|be|been) {_OFTEN}(?:recommended|suggested)\b",
        r"\bwe (?:also )?(?:would )?(?:recommend|suggest)\b",
    )


def _unseen(did: str, fill: str) -> tuple[str, ...]:
    # behind a comma the sentence may go on with the recommended item, unless it ends there
    before = rf"(?:<[HB]> {_YEAR}{_AND}{fill})*?(?<!, )(?<!, and )"
    behind = rf"(?:{_AND}{fill}<[HBI]> {_YEAR})*"
    ends = r"(?:[.!,;:]|and|or|$)"
    return (
        rf"\b(?:{did}|{_HISTORY}) {fill}{before}<I>",
        rf"\b(?:{did}|{_HISTORY}) {fill}{before}<[HB]> {_YEAR}, (?:and |or )?{fill}<I> {_YEAR}{ends}",
        rf"<I> {_YEAR}{behind}(?:, )?(?:(?:which|that) )?{did}\b",
        rf"<I> {_YEAR}{behind}(?:in|from) your {_OFTEN}history",
        rf"\b(?:{_AFTER}) {fill}{before}<I>",
        rf", (?:just )?like {fill}{before}<I>",
        rf"\b{did} (?:it|this|that one|this one)\b",
    )


def _unoffered(fill: str) -> tuple[str, ...]:
    return (
        rf"\b(?:{_OFFER}|{_LIKE}|{_MODAL} {_OFTEN}(?:suit|fit)) {fill}<H>",
        rf"<H> {_YEAR}(?:{_BE} )+{_OFFERED}\b",
        rf"<H> {_YEAR}(?:also )?(?:follows?|comes?|goes|go|fits?|suits?|joins?|matches|adds?)\b",
        rf"\b(?:fans? of|for) [^.]* is {fill}<H>",
        rf"^<H> {_YEAR}(?:is|was|has|stars)\b",
        rf"\balso (?:directed|wrote|stars? in|made) {fill}<H>",
    )
