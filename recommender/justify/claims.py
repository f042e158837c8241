"""The checker: every word of a justification is a title, a fact, or glue; titles and facts have to be true.

A word that is none of the three says something that nobody can verify here, so the sentence fails. Strict on purpose:
a plain true sentence always stands ready.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from recommender.catalogue import Catalogue
from recommender.justify.evidence import Evidence, facts_with_decade

LONGEST = 400
_WORD = re.compile(r"[\w'’&/-]+", re.UNICODE)
_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]")

#: What joins claims and makes none of its own.
GLUE = frozenset(
    """a about after all also and another are as be because been both by chose clear closest comes fits fit follow
    follows for from goes good has have here history in is it it's its just kind kinds like liked likes link match matches
    more most next of on one ones or other our pick picked picks points recent recently recommended same share shared shares
    since so start step suggest suggested suggestion that that's the their them these this those through to together too took
    up was watched we well were what which with you your yours you've genre genres film films item items book books song
    songs again along alongside between common reason decade year years natural new people many first someone they""".split()
)
#: Other words for a value, so that "science fiction" counts as the claim "Sci-Fi".
SYNONYMS = {
    "sci-fi": ("science fiction", "science-fiction"),
    "romance": ("romantic", "romances"),
    "comedy": ("comedies", "comic"),
    "drama": ("dramas", "dramatic"),
    "thriller": ("thrillers",),
    "war": ("wars",),
    "western": ("westerns",),
    "musical": ("musicals",),
    "film-noir": ("film noir",),
    "children's": ("children",),
    "animation": ("animated",),
    "documentary": ("documentaries",),
    "mystery": ("mysteries",),
}


@dataclass(frozen=True)
class Claim:
    """One thing that a sentence says. `kind`: title, attribute, or word (which cannot be checked)."""

    kind: str
    text: str
    true: bool
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a sentence may be shown, and all that it claims."""

    ok: bool
    claims: tuple[Claim, ...] = ()
    reason: str = ""


class ClaimChecker:
    """Checks sentences against one catalogue; built once."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Index every attribute value of the catalogue."""
        self.catalogue = catalogue
        values = {v for i in range(len(catalogue)) for vs in facts_with_decade(catalogue, i).values() for v in vs}
        self.values = {phrase: _fold(value) for value in values for phrase in _phrases(value)}
        self.longest = max((len(phrase.split()) for phrase in self.values), default=1)

    def check(self, sentence: str, evidence: Evidence) -> Verdict:
        """Find every claim in `sentence` and verify it against the item, its influences and the catalogue."""
        if len(sentence) > LONGEST or "\n" in sentence:
            return Verdict(False, reason="longer than one sentence")
        if not sentence or sentence[-1] not in ".!?" or not sentence[0].isupper() and sentence[0] not in '"“':
            return Verdict(False, reason="not a whole sentence")
        titles, mentioned, rest = self._titles(sentence, evidence)
        claims = [*titles, *self._facts(rest, evidence, mentioned)]
        wrong = next((claim for claim in claims if not claim.true), None)
        if wrong is not None:
            return Verdict(False, tuple(claims), f"{wrong.kind} {wrong.text!r}: {wrong.reason}")
        if evidence.influences and not mentioned & {i.item for i in evidence.influences}:
            return Verdict(False, tuple(claims), "names no item of the history")
        if not claims:
            return Verdict(False, (), "gives no reason")
        return Verdict(True, tuple(claims))

    def _titles(self, sentence: str, evidence: Evidence) -> tuple[list[Claim], set[int], str]:
        """Check quoted spans as titles; returns claims, the items mentioned, and the sentence without them."""
        known = {_fold(self.catalogue[i].title.replace('"', "'")): i for i in _subjects(evidence)}
        claims, mentioned = [], set()
        for quoted in _QUOTED.findall(sentence):
            item = known.get(_fold(quoted))
            if item is not None:
                mentioned.add(item)
            claims.append(Claim("title", quoted, item is not None, "" if item is not None else "not in the evidence"))
        return claims, mentioned, _QUOTED.sub(" | ", sentence)

    def _facts(self, text: str, evidence: Evidence, mentioned: set[int]) -> list[Claim]:
        """Walk the words: the longest known value first, then glue; everything else cannot be checked."""
        words = [word for part in text.split("|") for word in [*_WORD.findall(part), "|"]]
        claims: list[Claim] = []
        position = 0
        while position < len(words):
            length, value = self._value_at(words, position)
            if value is not None:
                claims.append(self._attribute(value, evidence, mentioned))
            elif words[position] != "|" and _fold(words[position]) not in GLUE:
                claims.append(Claim("word", words[position], False, "cannot be checked"))
            position += length
        return claims

    def _value_at(self, words: list[str], position: int) -> tuple[int, str | None]:
        for length in range(min(self.longest, len(words) - position), 0, -1):
            phrase = _fold(" ".join(words[position : position + length]))
            if phrase in self.values and not (length == 1 and phrase in GLUE):
                return length, self.values[phrase]
        return 1, None

    def _attribute(self, value: str, evidence: Evidence, mentioned: set[int]) -> Claim:
        """A value must hold for the recommended item and for every history item that the sentence names."""
        for item in (evidence.item, *sorted(mentioned - {evidence.item})):
            held = {_fold(v) for values in facts_with_decade(self.catalogue, item).values() for v in values}
            if value not in held:
                return Claim("attribute", value, False, f"not true of {self.catalogue[item].title!r}")
        return Claim("attribute", value, True)


def _subjects(evidence: Evidence) -> Iterable[int]:
    return (evidence.item, *(influence.item for influence in evidence.influences))


def _phrases(value: str) -> Iterable[str]:
    folded = _fold(" ".join(_WORD.findall(value)))
    return (folded, *SYNONYMS.get(folded, ())) if folded else ()


def _fold(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").split())
