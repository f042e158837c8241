"""Whether sentences are true, by other means than the product checks them, and how they are worded.

A sentence's names stand in quotation marks. What is left is searched for every attribute value and every year of the
catalogue. A value is said of the only name of its clause, or of the name before "which is"; everywhere else, and in
sentences with a word such as "both", "too" or "like", it must hold for everything that is named. A year in brackets is
that of the name before it. A list of names ends with its "and": what follows behind another comma begins something else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Facts = Mapping[str, Sequence[str]]
_QUOTED = re.compile(r'"([^"]*)"')
_BRACKETED = re.compile(r'"([^"]*)" \((\d{4})\)')
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)(s?)\b")
_NAME = r'"[^"]*"(?: \(\d{4}\))?'
_NAMES = rf"({_NAME}(?:(?:, {_NAME})*,? (?:and|or|as well as) {_NAME})?)"
_WATCHED = re.compile(
    rf"\b[Yy]ou (?:have |also |already )*(?:watched|saw|seen|chose|chosen|picked|read|heard|played|listened to) {_NAMES}"
)
_BREAK = re.compile(r"[,;:]| (?=(?:because|since|so|as|which|and you|if)\b)")
_OF_ALL = re.compile(r"\b(?:both|all|too|also|like|well|another|such|more|similar|same|each|them|these)\b")
_WHICH_IS = re.compile(r"^ ?which (?:is|was|has|stars)\b")
_OFFERED = re.compile(r'\b(?:try|suggest|recommend|(?:might|may) (?:like|enjoy)|pick is|suggestion is) "([^"]*)"')


@dataclass(frozen=True)
class Subject:
    """An item as a sentence may speak of it: its names, its attribute values and its years."""

    names: frozenset[str]
    values: frozenset[str]
    years: frozenset[int]


@dataclass(frozen=True)
class ParsedClaim:
    """One thing that a sentence says, and whether it is so."""

    kind: str
    text: str
    true: bool


class Grounding:
    """Reads sentences about items of one catalogue. `values`: every attribute value that a sentence could name."""

    def __init__(self, values: Collection[str]) -> None:
        """Compile the values, the longest first."""
        words = sorted({v for v in values if not v.isdigit()}, key=len, reverse=True)
        self.pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])") if words else None

    def claims(self, sentence: str, item: Subject, history: Sequence[Subject]) -> list[ParsedClaim]:
        """Return what a sentence claims of the recommended item and of the history that it may name."""
        known = [item, *history]
        found = [ParsedClaim("name", name, any(name in s.names for s in known)) for name in _QUOTED.findall(sentence)]
        named = [s for s in known if any(name in s.names for name in _QUOTED.findall(sentence))]
        found.append(ParsedClaim("recommended", "", item in named))
        for name, year in _BRACKETED.findall(sentence):
            found.append(ParsedClaim("year", year, any(int(year) in s.years for s in known if name in s.names)))
        shared = bool(_OF_ALL.search(_QUOTED.sub(" ", sentence)))
        before: list[str] = []
        for clause in _clauses(sentence):
            names = _QUOTED.findall(clause)
            found += self._said(clause, [] if shared else _meant(clause, names, before, known), named)
            before = names or before
        return [*found, *self._roles(sentence, item, history)]

    def _said(self, clause: str, one: Sequence[Subject], named: Sequence[Subject]) -> list[ParsedClaim]:
        """Return the years and the values that a clause says: of the one it is about, or of everything that is named."""
        of = one or named
        bare = _QUOTED.sub(" ", _BRACKETED.sub(" ", clause))
        found = []
        for text, decade in _YEAR.findall(bare):
            years = range(int(text), int(text) + (10 if decade else 1))
            found.append(ParsedClaim("year", text + decade, all(set(years) & s.years for s in of)))
        for value in self.pattern.findall(bare) if self.pattern else ():
            found.append(ParsedClaim("value", value, all(value in s.values for s in of)))
        return found

    def _roles(self, sentence: str, item: Subject, history: Sequence[Subject]) -> list[ParsedClaim]:
        watched = [name for part in _WATCHED.findall(sentence) for name in _QUOTED.findall(part)]
        return [
            *(ParsedClaim("watched", name, any(name in s.names for s in history)) for name in watched),
            *(ParsedClaim("offered", name, name in item.names) for name in _OFFERED.findall(sentence)),
        ]


def _clauses(sentence: str) -> list[str]:
    """Cut a sentence where something else begins; what stands in quotation marks is never cut."""
    hidden = _QUOTED.sub(lambda found: '"' + "\0" * len(found[1]) + '"', sentence)
    cuts = [0, *(found.end() for found in _BREAK.finditer(hidden)), len(sentence)]
    return [sentence[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]


def _meant(clause: str, names: Sequence[str], before: Sequence[str], known: Sequence[Subject]) -> list[Subject]:
    """Return whom a clause is about if it is about one name alone; else nothing."""
    if not names and _WHICH_IS.search(_QUOTED.sub(" ", clause)):
        names = before[-1:]
    return [s for s in known if len(names) == 1 and names[0] in s.names]


def groundedness(claims: Sequence[Sequence[ParsedClaim]]) -> dict[str, float | int]:
    """Return claims made and claims true over sentences, and sentences that hold a false one."""
    every = [claim for sentence in claims for claim in sentence]
    true = sum(claim.true for claim in every)
    false_sentences = sum(any(not claim.true for claim in sentence) for sentence in claims)
    return {
        "sentences": len(claims),
        "claims": len(every),
        "true": true,
        "share": true / max(len(every), 1),
        "sentences_with_a_false_claim": false_sentences,
    }


def wording(sentences: Sequence[str]) -> tuple[str, ...]:
    """Return the sentences with every name as "…" and every year as 0: what is left is how they are worded."""
    return tuple(_YEAR.sub("0", re.sub(r"\(\d{4}\)", "", _QUOTED.sub("…", s))) for s in sentences)


def variety(sentences: Sequence[str]) -> dict[str, float]:
    """Return unique-sentence ratio, distinct-1 and -2 (Li et al. 2016), and the share of different wordings."""
    grams = {n: [g for s in sentences for g in _grams(s, n)] for n in (1, 2)}
    count = max(len(sentences), 1)
    return {
        "unique_sentence_ratio": len(set(sentences)) / count,
        "different_wordings": len(set(wording(sentences))) / count,
        **{f"distinct_{n}": len(set(found)) / max(len(found), 1) for n, found in grams.items()},
    }


def _grams(sentence: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", sentence.casefold())
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def features(sentences: Sequence[str], wanted: Sequence[Collection[str]]) -> dict[str, float]:
    """Return FMR, FCR and DIV (Li et al. 2020, NETE). `wanted`: for each sentence the attribute values it could speak of.

    FMR: share of sentences with one of them. FCR: share of all values that stand in some sentence. DIV: values that two
    sentences have in common, on average; lower is more diverse.
    """
    said = [
        frozenset(v for v in values if re.search(rf"(?<!\w){re.escape(v)}(?!\w)", _QUOTED.sub(" ", sentence)))
        for sentence, values in zip(sentences, wanted, strict=True)
    ]
    every = {value for values in wanted for value in values}
    counts = Counter(value for values in said for value in values)
    pairs = len(said) * (len(said) - 1) / 2
    return {
        "fmr": sum(bool(values) for values in said) / max(len(said), 1),
        "fcr": len(counts) / max(len(every), 1),
        "div": sum(n * (n - 1) / 2 for n in counts.values()) / max(pairs, 1),
    }
