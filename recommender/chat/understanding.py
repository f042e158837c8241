"""What the language model reads in a message, together with what rules read perfectly: years, counts, places in a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recommender.chat.cross_check import Meaning, checked
from recommender.chat.reader import Fact, Question, Reader, Reading
from recommender.conversations.mentions import Mention
from recommender.conversations.wishes import ASKED, DISLIKED, FREE, LIKED, LIST, MUST, NOT, OR, SEEN, SIMILAR, WISH

#: what stands for a name where rules look for years and numbers
_NAME = "Name"


def without_names(text: str, mentions: Iterable[Mention]) -> str:
    """Return a text in which names say nothing: the year behind a title is no wish, nor is the number in one."""
    parts, start = [], 0
    for mention in mentions:
        if not mention.facts:
            parts += [text[start : mention.start], _NAME]
            start = mention.end
    return "".join([*parts, text[start:]])


def understood(
    reader: Reader, text: str, mentions: Sequence[Mention], meanings: Sequence[Meaning], act: str
) -> Reading:
    """Return what a message asks for.

    `mentions`: those of the message itself; `meanings`: of them, and of the names that were suggested before. `act`: what
    the model takes the message for.
    """
    rules, plain = reader.read(text), reader.read(without_names(text, mentions))
    question = _question(rules, meanings, mentions, act, text)
    meanings = checked(text, mentions, meanings, question is not None, rules)
    items = {meant: _items(meanings, meant) for meant in (LIKED, SIMILAR, SEEN, DISLIKED, ASKED)}
    unknown = tuple(m.text for m in mentions if not m.items and not m.facts)
    reading = replace(
        plain,
        history=(*items[LIKED], *items[SEEN]),
        anchors=items[SIMILAR],
        dislikes=items[DISLIKED],
        refused=rules.refused,
        only=_groups(meanings),
        without=tuple(m.mention.facts for m in meanings if m.meant == NOT and m.mention.facts),
        toward=_wishes(meanings),
        allowed_again=tuple(m.mention.facts for m in meanings if m.meant == FREE and m.mention.facts),
        query=None,
        question=question,
        unknown=unknown,
        ambiguous=tuple(m.items for m in mentions if len(m.items) > 1 and not m.series),
        act=act,
    )
    return replace(
        reading,
        wants=rules.wants,
        domains=rules.domains,
        added=rules.added,
        shares=rules.shares,
        corrects=rules.corrects,
    )


def _question(
    rules: Reading, meanings: Sequence[Meaning], mentions: Sequence[Mention], act: str, text: str
) -> Question | None:
    """Return the question of a message: rules say what is asked, the model whether anything is, unless a mark says so."""
    question = rules.question
    if question is None or (question.kind == "fact" and act == LIST and not text.rstrip().endswith("?")):
        return None
    asked = _items(meanings, ASKED) or _before(meanings, mentions)
    return replace(question, items=tuple(asked)) if question.kind == "fact" and asked else question


def _before(meanings: Sequence[Meaning], mentions: Sequence[Mention]) -> tuple[int, ...]:
    """Return what was suggested before, where the message itself names nothing: "who is in it?"."""
    if any(mention.items for mention in mentions):
        return ()
    return tuple(item for m in meanings if m.mention not in mentions for item in m.mention.positions)


def _items(meanings: Sequence[Meaning], meant: str) -> tuple[int, ...]:
    found = [item for m in meanings if m.meant == meant and not m.mention.facts for item in m.mention.positions]
    return tuple(dict.fromkeys(found))


def _groups(meanings: Sequence[Meaning]) -> tuple[tuple[Fact, ...], ...]:
    """Return the conditions: each a group of facts, one of which must hold. Other words for a kind are no condition."""
    groups: list[tuple[Fact, ...]] = []
    for meaning in meanings:
        if not meaning.mention.facts or meaning.mention.figurative:
            continue
        if meaning.meant == MUST:
            groups.append(meaning.mention.facts)
        elif meaning.meant == OR:
            groups[-1:] = [(*groups[-1], *meaning.mention.facts)] if groups else [meaning.mention.facts]
    return tuple(groups)


def _wishes(meanings: Sequence[Meaning]) -> tuple[tuple[Fact, ...], ...]:
    """Return what scores lean to; the conditions that are no condition because another word was said for them, too."""
    return tuple(
        m.mention.facts
        for m in meanings
        if m.mention.facts and (m.meant == WISH or (m.mention.figurative and m.meant in (MUST, OR)))
    )
