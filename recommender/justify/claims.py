"""What a check finds in a text: claims, where each stands and whom it is about; the same once the text is respelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recommender.justify.facts import Fact


@dataclass(frozen=True)
class Claim:
    """One claim of a text. `kind`: title, an attribute's name, role, deed, crowd (what others did), resemblance, word (one
    that cannot be checked) or form.

    `start`, `end`: where it stands in the text, both 0 for a claim of the whole. `items`: whom it is about, catalogue
    indices; `fact`: the attribute and value that it claims of them.
    """

    kind: str
    text: str
    true: bool
    reason: str = ""
    start: int = 0
    end: int = 0
    items: tuple[int, ...] = ()
    fact: Fact | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a text may be shown, all its claims, and what is wrong with the first false one."""

    ok: bool
    claims: tuple[Claim, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Edit:
    """A part of a text, at [start, end), that another one of `length` characters takes the place of."""

    start: int
    end: int
    length: int


def moved(verdict: Verdict, edits: Sequence[Edit]) -> Verdict:
    """Return the verdict on a text after some edits, which do not overlap and stand in order; claims keep their places.

    A claim within an edited part stands for all of the new part.
    """
    if not edits:
        return verdict
    claims = tuple(
        replace(claim, start=_start(claim.start, edits), end=_end(claim.end, edits)) if claim.end else claim
        for claim in verdict.claims
    )
    return replace(verdict, claims=claims)


def _start(place: int, edits: Sequence[Edit]) -> int:
    shift = 0
    for edit in edits:
        if edit.start <= place < edit.end:
            return edit.start + shift
        if edit.end <= place:
            shift += edit.length - (edit.end - edit.start)
    return place + shift


def _end(place: int, edits: Sequence[Edit]) -> int:
    shift = 0
    for edit in edits:
        if edit.start < place <= edit.end:
            return edit.start + shift + edit.length
        if edit.end <= place:
            shift += edit.length - (edit.end - edit.start)
    return place + shift
