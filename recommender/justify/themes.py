"""Finds what texts are about: nouns that can stand alone, as in "a story of revenge", told from how the texts use them.

"Revenge" and "vampires" can follow "a film about"; "young", "determines" and "submarine" cannot. A word is taken for a theme
if the texts use it like a noun, also without an article, and if few enough of them do for it to tell something. The themes
of one text are those of its words that tell most (TF-IDF: Spärck Jones 1972).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

#: themes of one text; texts that a theme must occur in, and the share of all texts that it may occur in
MOST, FEWEST_TEXTS, LARGEST_SHARE = 3, 4, 0.06
#: least shares of a word's uses: as an object without an article; most shares: as a verb, with "a", as a name
_BARE, _VERB, _ONE, _NAME = 0.1, 0.15, 0.1, 0.1
_FEWEST_USES = 2
_TOKEN = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?|[.,;:!?()\"—–-]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PREPOSITIONS = _words("of about with by against into between for from without through over")
_PAUSES = _PREPOSITIONS | _words(
    """and or than in on at to as but while when who which that after before until where because is are was were has have
    had will can may could would . , ; : ! ? ( ) — – -"""
)
_ARTICLES = _words("a an the his her their its this that these those some any no more all")
_ONES = _words("a an another every each one")
_BEFORE_VERBS = _words("he she it they who to will can must would could should not never also and then we you i")
#: nouns that stand alone and say nothing
_VAGUE = _words(
    """afar ages anything awhile back backgrounds bits choice control course days departure dinner directors dollars
    end ends events everyone everything example faces fact food forth friends fun generations good half hand hands
    heels help home hours hundreds ideas issues items kinds laughs life lives lots matters means members men millions
    minutes moments months nature news nothing nowhere number odds others parts payment people permission pieces place
    places plans possession problems questions regard results return scenes school seconds shape side sides someone
    something sorts stage steps stories terms things thousands times touch town trial trouble turns twenty types ways
    weeks while women words work years"""
)


@dataclass
class _Uses:
    """How often a word was used: at all, as an object without an article, behind one, with "a", as a verb, as a name."""

    all: int = 0
    bare: int = 0
    noun: int = 0
    one: int = 0
    verb: int = 0
    name: int = 0
    texts: set[int] = field(default_factory=set)


def themes_of(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the themes of each text, those that tell most first; none for a text that is empty."""
    tokens = [_TOKEN.findall(text) for text in texts]
    uses: dict[str, _Uses] = {}
    for number, words in enumerate(tokens):
        for before, word, after in _in_context(words):
            _count(uses.setdefault(word.casefold(), _Uses()), number, before, word, after)
    most = max(LARGEST_SHARE * sum(map(bool, tokens)), FEWEST_TEXTS)
    themes = {
        word: math.log2(len(texts) / len(use.texts))
        for word, use in uses.items()
        if FEWEST_TEXTS <= len(use.texts) <= most and _stands_alone(word, use, uses)
    }
    return [_best(Counter(word.casefold() for word in words), themes) for words in tokens]


def _in_context(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each word with the ones before and after it; a text begins behind a full stop and ends before one."""
    for before, word, after in zip([".", *words], words, [*words[1:], "."], strict=False):
        if len(word) > 3 and word.isalpha():
            yield before.casefold(), word, after.casefold()


def _count(use: _Uses, text: int, before: str, word: str, after: str) -> None:
    use.all += 1
    use.texts.add(text)
    use.name += word[0].isupper() and before not in ".!?"
    use.verb += before in _BEFORE_VERBS and after not in _PAUSES or after in _ARTICLES
    use.bare += before in _PREPOSITIONS and after in _PAUSES
    use.noun += before in _ARTICLES and after in _PAUSES
    use.one += before in _ONES and after in _PAUSES


def _stands_alone(word: str, use: _Uses, uses: dict[str, _Uses]) -> bool:
    """Return whether a word is used as a noun that needs no article: a plural, or what cannot be counted."""
    if word in _VAGUE or word.endswith(("ed", "ly", "ing")) or use.name > _NAME * use.all:
        return False
    if use.bare < max(_FEWEST_USES, _BARE * use.all) or use.verb > _VERB * use.all:
        return False
    if word.endswith("s") and not word.endswith("ss"):
        singular = uses.get(word[:-3] + "y" if word.endswith("ies") else word[:-1])
        return singular is not None and singular.noun >= 1 and singular.verb <= _VERB * singular.all
    return use.noun >= 1 and use.one <= _ONE * use.all


def _best(count: Counter[str], themes: dict[str, float]) -> tuple[str, ...]:
    told = {word: number * themes[word] for word, number in count.items() if word in themes}
    return tuple(sorted(told, key=lambda word: (-told[word], word))[:MOST])
