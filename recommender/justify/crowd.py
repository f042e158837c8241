"""What others did: "many who watched X or Y also watched Z", read in a sentence of tags and compared with the counts.

Only many, people, others, or a number that is right, may be said to have done so. That everyone or most people did, that
people had several items all together, and what came after what was never counted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from recommender.justify.english import CROWD

_NAME = r"<[HB]>(?: \( <V> \))?"
_QUANTITY = r"(?:(?:many|others|people|\d+)(?: (?:other|others|people|of those|of the people|of the))*)"
_OF_THOSE = r"(?:of|among) (?:those|others|people|the people|the many)"
#: before a claim: "all people who ..." and "more people who ..." say something else
_BEFORE = frozenset((",", ":", ";", "—", "–", "because", "since", "as", "and", "so"))
#: behind it the sentence may go on, but not with something else that they did
_BEHIND = r"(?: \( <V> \))?(?= [,.;:!?—–]|$)(?![^.;:!?]*<[HB]>)"
_YOURS = r"(?: (?:from|in) your history)?"


@dataclass(frozen=True)
class CrowdClaim:
    """What a sentence says of others. `places`: of its words; `reason`: why it is not true, "" if it is."""

    places: range
    text: str
    reason: str


def crowd_claims(
    tags: Sequence[str], named: Sequence[frozenset[int]], counts: Mapping[int, int], verbs: Sequence[str]
) -> Iterator[CrowdClaim]:
    """Yield all claims about others in a sentence.

    `tags`: its words as in `grammar.Grammar`; `named`: of each place the items that it names; `counts`: history item -> how
    many people had it and the recommended item; `verbs`: what people are known to have done with what they had.
    """
    text = " ".join(tags)
    starts = [0, *accumulate(len(tag) + 1 for tag in tags)]
    did = "|".join(map(re.escape, verbs))
    told: set[int] = set()
    for match in _claim(did).finditer(text):
        places = range(bisect_right(starts, match.start()) - 1, bisect_right(starts, match.end() - 1))
        names = range(bisect_right(starts, match.start("had")) - 1, bisect_right(starts, match.end("had") - 1))
        told |= set(places)
        if match["it"]:  # what was named before
            names = range(places.start)
        items = [named[place] for place in names if tags[place] in ("<H>", "<B>")]
        known = (not places.start or tags[places.start - 1] in _BEFORE) and _right_pronoun(match, text)
        yield CrowdClaim(places, match.group(), _wrong(match, items, counts) if known else "nobody counted this")
    # whoever else is said to have done something, and these words anywhere else
    for match in re.finditer(rf"\b(?:\w+ )?who (?:have |had |also )*(?:{did}|liked|loved|enjoyed)\b", text):
        places = range(bisect_right(starts, match.start()) - 1, bisect_right(starts, match.end() - 1))
        if told.isdisjoint(places):
            told |= set(places)
            yield CrowdClaim(places, match.group(), "nobody counted this")
    for place, tag in enumerate(tags):
        if tag in CROWD and place not in told:
            yield CrowdClaim(range(place, place + 1), tag, "nobody counted this")


def _claim(did: str) -> re.Pattern[str]:
    names = rf"{_NAME}(?:(?: ,| or| , or| and| , and) {_NAME})*"
    who = rf"(?:(?P<who>{_QUANTITY})|(?P<of>{_OF_THOSE})) who (?:have )?(?:{did})"
    had = rf"(?P<had>{names}|(?P<it>it|either(?: of (?:them|these|those))?))"
    also = rf"(?(of)(?: ,)? (?P<many>many|\d+))(?: ,)? (?:have )?also (?:{did})"
    # if "it" is what people had, it is not what they also had
    return re.compile(rf"\b{who} {had}{_YOURS}{also} (?P<too><I>|(?(it)<I>|it)){_BEHIND}")


def _right_pronoun(match: re.Match[str], text: str) -> bool:
    """Return whether "it" is what the claim needs it to be: what was named last, or, if nothing was, what comes next."""
    named = re.findall(r"<[HIB]>", text[: match.start()])[-1:] or re.findall(r"<[HIB]>", text[match.end() :])[:1]
    if match["it"]:
        return named == ["<H>"]
    return match["too"] == "<I>" or named == ["<I>"]


def _wrong(match: re.Match[str], items: Sequence[frozenset[int]], counts: Mapping[int, int]) -> str:
    """Return what is not true of a claim, "" if nothing is."""
    if " and " in match["had"]:
        return "nobody counted who had all of them"
    if not items or any(not item or not item <= set(counts) for item in items):
        return "not many had both"
    number = re.search(r"\d+", match["who"] or match["many"])
    if number and (len(items) > 1 or any(counts[item] != int(number.group()) for item in items[0])):
        return "the number is another one"
    return ""
