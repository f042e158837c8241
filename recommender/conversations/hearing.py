"""Messages as the language model hears them: the same in training and in serving."""

from __future__ import annotations

from collections.abc import Sequence

from recommender.conversations.mentions import Mention
from recommender.conversations.wishes import ACTS, ITEM_MEANINGS, VALUE_MEANINGS
from recommender.prompting.conversation import HeardTurn, ReadMention

#: a message that names more items is a list or a long answer: the next one is not read for what it says of them
MOST_SUGGESTED = 3
#: positions that a prompt leaves for a reading behind it
READING_ROOM = 256


def heard(role: str, text: str, mentions: Sequence[Mention]) -> HeardTurn:
    """Return a message with the positions of items behind their names."""
    parts: list[str | int] = []
    start = 0
    for mention in mentions:
        if mention.positions:
            parts += [text[start : mention.end], *mention.positions]
            start = mention.end
    return HeardTurn(role, (*parts, text[start:]))


def suggested(role: str, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
    """Return the names of a message before that a reaction may be about: those of a short suggestion."""
    if role != "assistant" or not 0 < len(mentions) <= MOST_SUGGESTED:
        return ()
    return tuple(mention for mention in mentions if not mention.facts)


def asked_about(mentions: Sequence[Mention]) -> list[ReadMention]:
    """Return what a reading is to tell of each mention, and last of the message itself."""
    asked = [ReadMention(m.text, VALUE_MEANINGS if m.facts else ITEM_MEANINGS) for m in mentions]
    return [*asked, ReadMention("", ACTS)]
