"""What a conversation is answered with: a list and a few sentences; and how a ranking becomes the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from recommender.chat.chips import Chip
from recommender.engine import DISCLOSURE, GENERATED, RankedItem
from recommender.errors import RecommenderError
from recommender.inference.beam_search import Ranking


class RankItems(Protocol):
    """Ranks what may be listed now."""

    def __call__(self, width: int, only: Sequence[str] | None = None) -> Ranking:
        """Return the best `width` items, fewer where there are fewer. `only`: ids of the items that may be among them."""
        ...


#: (what ranks, length) -> list
MakesList = Callable[[RankItems, int], Ranking]


def plain_list(rank: RankItems, k: int) -> Ranking:
    """Return the best items."""
    return rank(k)


@dataclass(frozen=True)
class ChatItem:
    """One item of a reply's list. `score`: log-probability, shifted by the preferences; `written_by`: see `RankedItem`."""

    rank: int
    item_id: str
    title: str
    score: float
    justification: str | None = None
    written_by: str | None = None


@dataclass(frozen=True)
class Reply:
    """An answer. `opening` is said before the list, or is all of it; `filters`: the hard constraints in words, each met by
    every item; `asks`: whether it is a question back; `history`: ids of the items that it took for known;
    `relaxed`: what was asked for and left out, because nothing meets all of it; `understood`: what counts of all that was
    said, piece by piece."""

    opening: str
    items: tuple[ChatItem, ...] = ()
    filters: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    asks: bool = False
    notes: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()
    understood: tuple[Chip, ...] = ()

    @property
    def text(self) -> str:
        """Return all of it in words: the list, each item with its reason if there is one."""
        return worded(self.opening, self.items)

    def to_dict(self) -> dict[str, Any]:
        """Return the reply as plain data, which says that a machine speaks."""
        return {"text": self.text, **asdict(self), **GENERATED, "disclosure": DISCLOSURE}


def worded(opening: str, items: Sequence[ChatItem | RankedItem]) -> str:
    """Return an answer in words. The first line of an item is read again when a later message speaks of it."""
    lines = [opening]
    for item in items:
        lines.append(f"{item.rank}. {item.title}")
        if item.justification:
            lines.append(f"   {item.justification}")
    return "\n".join(lines)


def sentence(error: RecommenderError) -> Reply:
    """Return what a message that cannot be read is answered with; the conversation goes on."""
    hint = f" {error.hint[:1].upper()}{error.hint[1:]}." if error.hint else ""
    return Reply(f"{error.message[:1].upper()}{error.message[1:]}.{hint}", asks=True)
