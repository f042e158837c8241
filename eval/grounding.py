"""Checks whether justifications are true, independently of the product's own checker, and measures how they are worded.

Item names stand in quotation marks. The rest of the text is searched for every attribute value and every year of the
catalogue. A value belongs to the only name of its clause, or to the name before "which is"; everywhere else, and in
texts with a word such as "both", "too" or "like", it must hold for all named items. A year in brackets belongs to the
name before it. A list of names ends with its "and": text behind a further comma begins a new clause. What others did, as
in "many who watched X or Y also watched Z", is compared with counts of people for each name.
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
_LIKED = "liked|loved|enjoyed"
_DID = f"watched|saw|seen|chose|chosen|picked|read|heard|played|listened to|{_LIKED}"
_WATCHED = re.compile(rf"\b[Yy]ou (?:have |also |already )*(?:{_DID}) {_NAMES}")
_SAID_TO_LIKE = re.compile(rf"(?<!if )\b(?:you|who) (?:have |also |already )*({_LIKED})\b", re.IGNORECASE)
#: "many who watched X or Y also watched Z": who, what they had, what they also had
_CROWD = re.compile(
    rf"(?P<who>[\w ]*)\bwho (?:have )?(?:{_DID}) (?P<had>{_NAME}(?:(?:, | or |, or | and |, and ){_NAME})*|it|either[ \w]*?)"
    rf'(?P<of>[ \w,]*?),? (?:have )?also (?:{_DID}) (?:"(?P<too>[^"]*)"|it\b)'
)
_WHO = re.compile(rf"\bwho (?:have |had |also )*(?:{_DID})\b")
_ANYBODY = re.compile(r"\b(?:everyone|everybody|anyone|nobody|many|people)\b", re.IGNORECASE)
_QUANTITY = re.compile(
    r"many|many people|many others|others|people|(?P<number>\d+) (?:people|others)"
    r"|(?P<those>(?:of|among) (?:those|others|people))"
)
_REASON = re.compile(r"\b(?:because|since|as|and|so)\b")
#: people of whom it takes at least so many to say that many did
MANY = 5
_CLAUSE_END = re.compile(r"[,;:]| (?=(?:because|since|so|as|which|and you|if)\b)")
_OF_ALL = re.compile(
    r"\b(?:both|all|too|also|(?<!may )(?<!might )like|well|another|such|more|similar|same|each|them|these)\b"
)
#: "X (1990), a thriller by Y": said of X alone; so is "A thriller by Y, X (1990) ..."
_DESCRIBES = re.compile(r"^ an? \b")
_ABOUT_IT = re.compile(r"^ it (?:is|was|has|stars|features|won|touches)\b")
_DESCRIBES_NEXT = re.compile(r'^An? [^",;:]*, ?$')
_WHICH_IS = re.compile(r"^ ?which (?:is|was|has|stars|features|won|touches)\b")
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


#: words of which sentences are built, whatever a catalogue has among its values
_SENTENCE_WORDS = frozenset(
    """a after all also an and another are as at because both by choice comes could enjoy fit fits fitting follows for from
    good goes have here history if in is it joins leads like likes many match may might more natural next now of on one
    or our pick points recommend recommended see since so some such suggest suggested suit tagged that the them they this
    to too try up we well which who with you your""".split()
)


class Grounding:
    """Reads the claims of justifications on one catalogue.

    `values`: every attribute value that a text could name; `kinds`: those that people say in words of their own. `liked`:
    whether people are known to like what they had.
    """

    def __init__(
        self, values: Collection[str], kinds: Collection[str] = (), liked: bool = False, noun: str = ""
    ) -> None:
        """Compile a pattern of the values, the longest first.

        `noun`: what is recommended. Its words, and those that every sentence needs, are read as such and not as values: a
        catalogue of keywords holds "in", "all" and "beauty".
        """
        self.liked = liked
        plain = _SENTENCE_WORDS | {form for word in noun.casefold().split() for form in (word, word.removesuffix("s"))}
        self.spoken = spoken_values({value for value in values if value.casefold() not in plain}, kinds)
        self.pattern = pattern_of(self.spoken)

    def claims(
        self, text: str, item: Subject, history: Sequence[Subject], together: Sequence[int] = ()
    ) -> list[ParsedClaim]:
        """Return the claims of a justification on the recommended item and the history items that it may name.

        `together`: for each of `history` how many people had it and the item; 0 if that is not known.
        """
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
                if not about_all and not names and _ABOUT_IT.search(clause):  # what is recommended
                    about = [item]
            claims += self._fact_claims(clause, about or named)
            names_before = names or names_before
        claims += [ParsedClaim("liked", verb, self.liked) for verb in _SAID_TO_LIKE.findall(_QUOTED.sub('""', text))]
        claims += _crowd_claims(self._without_values(text), item, list(zip(history, together, strict=False)))
        return [*claims, *self._role_claims(text, item, history)]

    def _without_values(self, text: str) -> str:
        """Return a text with each value outside of names as "…"."""
        parts = re.split(r'("[^"]*")', text)
        return "".join(p if p.startswith('"') or not self.pattern else self.pattern.sub("…", p) for p in parts)

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


def _crowd_claims(text: str, item: Subject, counts: Sequence[tuple[Subject, int]]) -> list[ParsedClaim]:
    """Return what a text says that others did; `counts`: history items, and how many people had each and the item."""
    claims, rest = [], text
    for match in _CROWD.finditer(text):
        before = text[: match.start()]
        names = _QUOTED.findall(match["had"]) or [name for name in _QUOTED.findall(before) if name not in item.names]
        people = [[n for subject, n in counts if name in subject.names] for name in names]
        known = bool(people) and all(found and min(found) >= MANY for found in people)
        about_item = _said_of_item(match, text, item)
        jointly = re.search(r" and $| and ", _QUOTED.sub('""', match["had"])) is not None
        true = known and about_item and not jointly and _right_quantity(match, people)
        claims.append(ParsedClaim("crowd", match.group(), true))
        rest = rest.replace(match.group(), " ")
    rest = _QUOTED.sub('""', rest)
    claims += [ParsedClaim("crowd", found, False) for found in (*_WHO.findall(rest), *_ANYBODY.findall(rest))]
    return claims


def _said_of_item(match: re.Match[str], text: str, item: Subject) -> bool:
    """Return whether what others did also is the recommended item, by its name or as "it", and nothing beside it."""
    before, behind = text[: match.start()], text[match.end() :]
    nearest = _QUOTED.findall(before)[-1:] or _QUOTED.findall(behind)[:1]
    names = [match["too"]] if match["too"] is not None else nearest
    beside = _QUOTED.findall(re.split(r"[.;:](?: |$)", behind)[0]) if match["too"] is not None else []
    return bool(names) and all(name in item.names for name in (*names, *beside))


def _right_quantity(match: re.Match[str], people: Sequence[Sequence[int]]) -> bool:
    """Return whether as many are said to have done something as were counted: many, or the very number."""
    quantity = _QUANTITY.fullmatch(_REASON.split(match["who"].lower())[-1].strip())
    if quantity is None:
        return False
    if quantity["those"] and "many" not in match["of"].split():
        return False
    return quantity["number"] is None or people == [[int(quantity["number"])]]


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
