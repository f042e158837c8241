"""The clauses of a message about several catalogues: which of them each name and value is said of.

"A comedy and a shampoo" names no catalogue and means two; "a romantic film and a perfume" wants no romantic perfume.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, MutableSequence, Sequence

from recommender.chat.domains import DomainReader
from recommender.justify.facts import Fact, role

_BREAK = re.compile(r" (?:and|plus|or|but|then|[,;.:!?])(?= )")
_MARK = re.compile(r"<([vwt])(\d+)>")
#: a small word that says what is wanted stands where a noun does: "a gentle shampoo for hair", "funny and gentle" does not
_RUN = re.compile(r"(?:<[vw]\d+> ?)+")
_LEAD = re.compile(
    r"(?:^|[.;:!?,]|\b(?:an?|any|some|the|no|good|nice|new|another|need|want|recommend|suggest|buy|me|my|without|now|\d+)"
    r"|<[vw]\d+> (?:and|or|for|with|without|in))(?: (?!and\b|or\b|not\b)[a-z]+)?$"
)
_FOLLOW = re.compile(
    r"$|[.;:!?,]|(?:and|or|for|without|with|that|which|to|please|instead|from|like|under|too|as|now|then|but|also|next"
    r"|either|today|tonight|anymore)\b"
)
#: "and a shampoo" is wanted beside what was asked for, "and now a shampoo" in its place
_ADDED = re.compile(r"^ (?:and|also|plus)\b(?! (?:now|then)\b)|\b(?:also|as well|on top|in addition)\b")
_INSTEAD = re.compile(r"\b(?:instead|rather than)\b")

Values = MutableSequence[tuple[Fact, ...]]


def settled(tagged: str, values: Values, domains: DomainReader, words: dict[int, str]) -> str:
    """Return a message in which each `<w0>`, a small word that may be a value, is one, `<v0>`, or the word that it was."""
    counted: set[str] = set()
    goes_on = False
    for joint, clause in _parts(tagged):
        before = ("<v0> " if goes_on else "") + joint  # "shampoo and conditioner": as the one, so the other
        goes_on = False
        if _other_than_kindless(clause, values, domains):
            continue
        for run in _RUN.finditer(clause):
            if _LEAD.search(f"{before} {clause[: run.start()]}".strip()) and _FOLLOW.match(clause[run.end() :].strip()):
                counted |= {number for kind, number in _MARK.findall(run.group()) if kind == "w"}
                goes_on = not clause[run.end() :].strip()
    return re.sub(r"<w(\d+)>", lambda m: f"<v{m[1]}>" if m[1] in counted else words[int(m[1])], tagged)


def narrow(tagged: str, values: Values, domains: DomainReader) -> None:
    """Let the values of a clause that names a domain mean what they mean there, and others a kind before a keyword."""
    for clause in _clauses(tagged):
        named = domains.named(clause)
        for number in (int(number) for kind, number in _MARK.findall(clause) if kind == "v"):
            if named:
                values[number] = domains.narrowed(values[number], named)
            elif any(role(name) == "kind" for name, _ in values[number]):
                with_kinds = [fact for fact in domains.facts if fact not in domains.kindless]
                values[number] = domains.narrowed(values[number], with_kinds)


def meant(
    tagged: str,
    asked: Sequence[Fact],
    values: Sequence[tuple[Fact, ...]],
    titles: Sequence[tuple[int, ...]],
    conditions: Collection[tuple[Fact, ...]],
    anchors: Collection[int],
    domains: DomainReader,
) -> tuple[Fact, ...]:
    """Return the domains that a message is about, in its order: those that it asks for, and those of what it asks for.

    `asked`: the domains asked for by name; `conditions`: the groups of facts that must hold; `anchors`: items that others
    are wanted like, which count beside what other clauses ask for.
    """
    found: list[Fact] = []
    only_alike = True
    for clause in _clauses(tagged):
        if named := domains.named(clause):
            found += [fact for fact in named if fact in asked]
            continue
        marks = [(kind, int(number)) for kind, number in _MARK.findall(clause)]
        groups = [values[n] for kind, n in marks if kind == "v" and values[n] in conditions]
        of = [domains.of(group) for group in groups]
        found += [each[0] for each in of if len(each) == 1]
        only_alike = only_alike and not groups
        if not groups:
            found += domains.item_domains(
                [titles[n][0] for kind, n in marks if kind == "t" and titles[n][0] in anchors]
            )
    if not asked and only_alike:
        return ()
    return tuple(dict.fromkeys((*found, *asked)))


def added(tagged: str) -> bool:
    """Return whether what a message asks for is wanted beside what was asked for before."""
    return bool(_ADDED.search(tagged)) and not _INSTEAD.search(tagged)


def _other_than_kindless(clause: str, values: Sequence[tuple[Fact, ...]], domains: DomainReader) -> bool:
    """Whether a clause speaks of a domain that has words for its kinds, so that small words of others say nothing."""
    kindless = set(domains.kindless)
    said = [domains.of(values[int(n)]) for kind, n in _MARK.findall(clause) if kind == "v"]
    return any(not kindless & set(of) for of in (*said, domains.named(clause)) if of)


def _clauses(tagged: str) -> Iterator[str]:
    yield from (f" {clause.strip()} " for clause in _BREAK.split(tagged))


def _parts(tagged: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before each clause, and the clause."""
    start, before = 0, ""
    for found in _BREAK.finditer(tagged):
        yield before, tagged[start : found.start()]
        start, before = found.end(), found.group().strip()
    yield before, tagged[start:]
