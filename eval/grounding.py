"""Checks whether justifications are true, independently of the product's own checker, and measures how they are worded.

Item names stand in quotation marks. The rest of the text is searched for every attribute value and every year of the
catalogue. A value belongs to the only name of its clause, or to the name before "which is"; everywhere else, and in
texts with a word such as "both", "too" or "like", it must hold for all named items. A year in brackets belongs to the
name before it. A list of names ends with its "and": text behind a further comma begins a new clause.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from recommender.eval.spoken_values import pattern_of, spoken_values

_QUOTED = re.compile(r'"([^"]*)"')
_BRACKETED = re.compile(r'"([^"]*)" \((\d{4})\)')
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)(s?)\b")
_NAME = r'"[^"]*"(?: \(\d{4}\))?'
_NAMES = rf"({_NAME}(?:(?:, {_NAME})*,? (?:and|or|as well as) {_NAME})?)"
_WATCHED = re.compile(
    rf"\b[Yy]ou (?:have |also |already )*(?:watched|saw|seen|chose|chosen|picked|read|heard|played|listened to) {_NAMES}"
)
_CLAUSE_END = re.compile(r"[,;:]| (?=(?:because|since|so|as|which|and you|if)\b)")
_OF_ALL = re.compile(
    r"\b(?:both|all|too|also|(?<!may )(?<!might )like|well|another|such|more|similar|same|each|them|these)\b"
)
#: "X (1990), a thriller by Y": said of X alone; so is "A thriller by Y, X (1990) ..."
_DESCRIBES = re.compile(r"^ an? \b")
_DESCRIBES_NEXT = re.compile(r'^An? [^",;:]*, ?$')
_WHICH_IS = re.compile(r"^ ?which (?:is|was|has|stars)\b")
_OFFERED = re.compile(r'\b(?:try|suggest|recommend|(?:might|may) (?:like|enjoy)|pick is|suggestion is) "([^"]*)"')


@dataclass(frozen=True)
class Subject:
    """The facts of an item that a justification may state: its names, its attribute values and its years."""

    names: frozenset[str]
    values: frozenset[str]
    years: frozenset[int]


@dataclass(frozen=True)
class ParsedClaim:
    """One claim of a justification, and whether it is true."""

    kind: str
    text: str
    true: bool


class Grounding:
    """Reads the claims of justifications on one catalogue.

    `values`: every attribute value that a text could name; `kinds`: those that people say in words of their own.
    """

    def __init__(self, values: Collection[str], kinds: Collection[str] = ()) -> None:
        """Compile a pattern of the values, the longest first."""
        self.spoken = spoken_values(values, kinds)
        self.pattern = pattern_of(self.spoken)

    def claims(self, text: str, item: Subject, history: Sequence[Subject]) -> list[ParsedClaim]:
        """Return the claims of a justification on the recommended item and the history items that it may name."""
        subjects = [item, *history]
        claims = [ParsedClaim("name", name, any(name in s.names for s in subjects)) for name in _QUOTED.findall(text)]
        named = [s for s in subjects if any(name in s.names for name in _QUOTED.findall(text))]
        claims.append(ParsedClaim("recommended", "", item in named))
        for name, year in _BRACKETED.findall(text):
            claims.append(ParsedClaim("year", year, any(int(year) in s.years for s in subjects if name in s.names)))
        about_all = bool(_OF_ALL.search(_QUOTED.sub(" ", text)))
        names_before: list[str] = []
        clauses = _clauses(text)
        for place, clause in enumerate(clauses):
            names = _QUOTED.findall(clause)
            if described := _described(clause, clauses[place + 1 :], names_before):
                about = [s for s in subjects if described in s.names]
            else:
                about = [] if about_all else _clause_subjects(clause, names, names_before, subjects)
            claims += self._fact_claims(clause, about or named)
            names_before = names or names_before
        return [*claims, *self._role_claims(text, item, history)]

    def _fact_claims(self, clause: str, subjects: Sequence[Subject]) -> list[ParsedClaim]:
        """Return the years and values that a clause states; each is true if it holds for all subjects."""
        unquoted = _QUOTED.sub(" ", _BRACKETED.sub(" ", clause))
        claims = []
        for text, decade in _YEAR.findall(unquoted):
            years = range(int(text), int(text) + (10 if decade else 1))
            claims.append(ParsedClaim("year", text + decade, all(set(years) & s.years for s in subjects)))
        for text in self.pattern.findall(unquoted) if self.pattern else ():
            meant = sorted(self.spoken[text])
            true = next((value for value in meant if all(value in s.values for s in subjects)), None)
            claims.append(ParsedClaim("value", true or meant[0], true is not None))
        return claims

    def _role_claims(self, text: str, item: Subject, history: Sequence[Subject]) -> list[ParsedClaim]:
        """Return claims on which items were watched and which is recommended."""
        watched = [name for names in _WATCHED.findall(text) for name in _QUOTED.findall(names)]
        return [
            *(ParsedClaim("watched", name, any(name in s.names for s in history)) for name in watched),
            *(ParsedClaim("offered", name, name in item.names) for name in _OFFERED.findall(text)),
        ]


def _clauses(text: str) -> list[str]:
    """Cut a text into clauses, never within quotation marks."""
    masked = _QUOTED.sub(lambda match: '"' + "\0" * len(match[1]) + '"', text)
    cuts = [0, *(match.end() for match in _CLAUSE_END.finditer(masked)), len(text)]
    return [text[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]


def _described(clause: str, following: Sequence[str], names_before: Sequence[str]) -> str | None:
    """Return the name that a clause describes: "a thriller by Y" behind it, or before it at the beginning."""
    if _QUOTED.search(clause) or _OF_ALL.search(clause):
        return None
    if _DESCRIBES_NEXT.search(clause):
        return next(iter(_QUOTED.findall(following[0] if following else "")), None)
    return names_before[-1] if _DESCRIBES.search(clause) and names_before else None


def _clause_subjects(
    clause: str, names: Sequence[str], names_before: Sequence[str], subjects: Sequence[Subject]
) -> list[Subject]:
    """Return the subjects of a clause if it is about a single name, else none."""
    if not names and _WHICH_IS.search(_QUOTED.sub(" ", clause)):
        names = names_before[-1:]
    return [s for s in subjects if len(names) == 1 and names[0] in s.names]


def groundedness(claims: Sequence[Sequence[ParsedClaim]]) -> dict[str, float | int]:
    """Return the number of claims and of true claims of all justifications, and how many hold a false claim."""
    all_claims = [claim for justification in claims for claim in justification]
    true = sum(claim.true for claim in all_claims)
    with_false_claim = sum(any(not claim.true for claim in justification) for justification in claims)
    return {
        "sentences": len(claims),
        "claims": len(all_claims),
        "true": true,
        "share": true / max(len(all_claims), 1),
        "sentences_with_a_false_claim": with_false_claim,
    }


def wordings(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the texts with every name as "…" and every year as 0, so that only the wording is left."""
    return tuple(_YEAR.sub("0", re.sub(r"\(\d{4}\)", "", _QUOTED.sub("…", text))) for text in texts)


def variety(texts: Sequence[str]) -> dict[str, float]:
    """Return unique-sentence ratio, distinct-1 and -2 (Li et al. 2016), and the share of different wordings."""
    grams = {n: [gram for text in texts for gram in _ngrams(text, n)] for n in (1, 2)}
    count = max(len(texts), 1)
    return {
        "unique_sentence_ratio": len(set(texts)) / count,
        "different_wordings": len(set(wordings(texts))) / count,
        **{f"distinct_{n}": len(set(ngrams)) / max(len(ngrams), 1) for n, ngrams in grams.items()},
    }


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def feature_metrics(texts: Sequence[str], item_values: Sequence[Collection[str]]) -> dict[str, float]:
    """Return FMR, FCR and DIV (Li et al. 2020, NETE). `item_values`: the attribute values of each text's item.

    FMR: share of texts that name one of their item's values. FCR: share of all values that are named in some text. DIV:
    mean number of values that two texts have in common; lower is more diverse.
    """
    named = [
        frozenset(v for v in values if re.search(rf"(?<!\w){re.escape(v)}(?!\w)", _QUOTED.sub(" ", text)))
        for text, values in zip(texts, item_values, strict=True)
    ]
    all_values = {value for values in item_values for value in values}
    counts = Counter(value for values in named for value in values)
    pairs = len(named) * (len(named) - 1) / 2
    return {
        "fmr": sum(bool(values) for values in named) / max(len(named), 1),
        "fcr": len(counts) / max(len(all_values), 1),
        "div": sum(n * (n - 1) / 2 for n in counts.values()) / max(pairs, 1),
    }
