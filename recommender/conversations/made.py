"""What a made-up conversation is: turns in pieces of which it is known how each is meant, and what is wished after them."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.conversations.wishes import Wish


@dataclass(frozen=True)
class Said:
    """A piece of what was said. `meant`: how the name or value in it is meant, "" where it is neither."""

    text: str
    meant: str = ""


@dataclass(frozen=True)
class MadeTurn:
    """What one of the two said. `act`: what a seeker's message is. `reaction`: how the suggestion before it is found."""

    role: str
    parts: tuple[Said, ...]
    act: str = ""
    reaction: str = ""

    @property
    def text(self) -> str:
        """Return the words."""
        return "".join(part.text for part in self.parts)

    def meant_at(self, start: int, end: int) -> str:
        """Return how the piece of the text is meant that most of [start, end) lies in, "" if it means nothing."""
        at, best, meant = 0, 0, ""
        for part in self.parts:
            shared = min(end, at + len(part.text)) - max(start, at)
            if shared > best:
                best, meant = shared, part.meant
            at += len(part.text)
        return meant


@dataclass(frozen=True)
class MadeConversation:
    """`profile`: items that are known beforehand, in no order. `turns`, and for some places what was wished by then: a place
    is the number of turns that were before. `left`: items of the seeker that nobody has named. `brief`: a single message on
    one thing."""

    profile: tuple[int, ...]
    turns: tuple[MadeTurn, ...]
    wishes: tuple[tuple[int, Wish], ...]
    left: tuple[int, ...]
    brief: bool = False

    def said(self, place: int, role: str = "user") -> str:
        """Return what one of the two said before a place."""
        return " ".join(turn.text for turn in self.turns[:place] if turn.role == role)
