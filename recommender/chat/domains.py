"""Which catalogue of several a message asks for: "films", "a product", "both".

A joined catalogue (`recommender join`) says of each item which domain it is of. People also use its names of anything ("the
film that I saw"), so they count only where something is asked for or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.data.joining import DOMAIN
from recommender.justify.english import domain_words
from recommender.justify.facts import Fact, fact_index, role
from recommender.justify.item_names import forms
from recommender.justify.vocabulary import inflections

#: with more values than this, an attribute of the name says something else
_MOST = 12
_DETERMINERS = r"(?:(?:a|an|any|the|more|other|such|some|these|those|of|your) ){0,3}"
_REFUSED = (
    r"\b(?:(?:no|not|without|except|except for|excluding|minus|avoid|skip|anything but|everything but|other than|apart from"
    r"|instead of|rather than|enough of|tired of|sick of)"
    r"|(?:dont|do not|doesnt|wont) (?:want|need|like|show(?: me)?|recommend|suggest|give me)) "
)
#: behind these a refusal is of some of them: "no films with violence"
_SOME = (
    r"(?! (?:before|after|from|older|newer|with|without|about|by|like|that|which|where|starring|directed|in|of|i)\b)"
)
_NOT_ONLY = r"\bnot (?:only|just) "
#: who speaks of what they had asks for nothing
_HAD = (
    r"\b(?:watched|saw|seen|loved|liked|enjoyed|hated|disliked|loves|likes|enjoys|hates|favou?rites?|read|played|bought"
    r"|own|owned|used|know|knew"
    r"|i (?:really |also |usually )?(?:like|love|enjoy))(?: (?!but\b|and\b|so\b|show\b|give\b|want\b)\w+){0,3}? "
)
_FOLLOWED = r"(?: (?:called )?<t\d+>| (?:fans?|lovers?|buffs?|makers?|directors?|stars?|night)\b)"
_ALL = re.compile(
    r"\b(?:of|from) (?:both|each|either)\b"
    r"|^ *(?:please )?(?:show |give |recommend |suggest )?(?:me )?(?:both|either)\b(?! <)"
)
#: "the first film" is one of the last list
_NOT_RANKED = r"(?<!<r\d> )(?<!<r-\d> )(?<!<r\d\d> )"


class DomainReader:
    """Reads which domains of one catalogue a message asks for; a catalogue that is of one domain has nothing to ask for."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Take the domains that the items are of."""
        index = fact_index(catalogue)
        self.facts: tuple[Fact, ...] = domains_of(catalogue)
        self._codes = np.full(len(catalogue), -1)
        for number, fact in enumerate(self.facts):
            self._codes[index.items(fact)] = number
        self._index = index
        #: the domains whose items have years
        self.dated: tuple[Fact, ...] = self._having(index.with_years(lambda year: True))
        #: those of which no item has a genre or the like: keywords say what their items are
        with_kinds = self._having(np.array([bool(kinds) for kinds in index.kinds], bool)) if self.facts else ()
        self.kindless = tuple(fact for fact in self.facts if fact not in with_kinds)
        self._meant: dict[str, Fact] = {}
        for fact in self.facts:
            for text in _names(fact):
                self._meant.setdefault(text, fact)
        word = rf"(?P<word>{'|'.join(map(re.escape, sorted(self._meant, key=len, reverse=True)))})\b"
        self._asked = re.compile(rf"\b{_NOT_RANKED}{word}(?!{_FOLLOWED})")
        self._refused = re.compile(rf"{_REFUSED}{_DETERMINERS}{word}{_SOME}")
        counted = rf"(?<!<r)\b(\d{{1,2}}|an?|one) (?:(?!and\b|or\b)[a-z]+ )?{word}"
        self._counted = re.compile(counted)
        self._not_only, self._had = re.compile(rf"{_NOT_ONLY}{_DETERMINERS}{word}"), re.compile(rf"{_HAD}{word}")

    @property
    def words(self) -> frozenset[str]:
        """The words of which the names of domains are made."""
        return frozenset(word for text in self._meant for word in text.split())

    def of(self, group: Sequence[Fact]) -> tuple[Fact, ...]:
        """Return the domains of which any item has one of these facts."""
        return self._having(self._index.having(group))

    def narrowed(self, group: tuple[Fact, ...], domains: Sequence[Fact]) -> tuple[Fact, ...]:
        """Return the facts of a group that any item of these domains has; the whole group where that is none."""
        return tuple(fact for fact in group if set(self.of([fact])) & set(domains)) or group

    def item_domains(self, items: Sequence[int]) -> tuple[Fact, ...]:
        """Return the domains that items are of, those of the first item first."""
        return tuple(dict.fromkeys(self.facts[self._codes[item]] for item in items if self._codes[item] >= 0))

    def named(self, clause: str) -> tuple[Fact, ...]:
        """Return the domains whose names stand in a clause, asked for or not."""
        return tuple(dict.fromkeys(self._meant[found["word"]] for found in self._asked.finditer(clause)))

    def shares(self, tagged: str) -> tuple[tuple[Fact, int], ...]:
        """Return how many items of which domain a message wants: "a film and 2 products"; () unless it says a number."""
        found = (
            [(self._meant[match["word"]], match[1]) for match in self._counted.finditer(tagged)] if self.facts else []
        )
        if not any(number.isdigit() for _, number in found):
            return ()
        return tuple({fact: int(number) if number.isdigit() else 1 for fact, number in found}.items())

    def _having(self, mask: np.ndarray) -> tuple[Fact, ...]:
        return tuple(self.facts[code] for code in np.unique(self._codes[mask]) if code >= 0)

    def read(self, tagged: str) -> tuple[Fact, ...]:
        """Return the domains that a message asks for, in the order in which it names them; () where it asks for none.

        tagged: the message as `Reader` marks it. Who wants no products wants of all the others.
        """
        if not self.facts:
            return ()
        if self._not_only.search(tagged) or _ALL.search(tagged):
            return self.facts
        refused = {self._meant[found["word"]] for found in self._refused.finditer(tagged)}
        rest = self._had.sub(" ", self._refused.sub(" ", tagged))
        asked = dict.fromkeys(self._meant[found["word"]] for found in self._asked.finditer(rest))
        if asked:
            return tuple(fact for fact in asked if fact not in refused) or tuple(asked)
        return tuple(fact for fact in self.facts if fact not in refused) if refused else ()


def _names(fact: Fact) -> Iterator[str]:
    """Yield what people call the items of a domain, in the form of words that patterns see."""
    words = domain_words(fact[1])
    for text in (*inflections(*fact), words.singular, words.plural, *words.other_nouns):
        if name := " ".join(forms(text)):
            yield name


def domains_of(catalogue: Catalogue) -> tuple[Fact, ...]:
    """Return the domains that items are of, as they first occur; () unless the catalogue is of several."""
    index = fact_index(catalogue)
    found = dict.fromkeys(
        (name, value)
        for name in index.names
        if role(name) == DOMAIN
        for facts in index.facts
        for value in facts.get(name, ())
    )
    return tuple(found) if 1 < len(found) <= _MOST else ()


def masks_of(catalogue: Catalogue, domains: Sequence[Fact]) -> list[np.ndarray]:
    """Return bool [items] for each of the domains: which items are of it."""
    index = fact_index(catalogue)
    return [index.having([fact]) for fact in domains]
