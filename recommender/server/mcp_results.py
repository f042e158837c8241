"""What the tools for agents answer: typed, so that a client sees the schema before it calls."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from recommender.engine import RankedItem

_WRITER = "who wrote the justification: model (a language model) or plain (a template)"
_GENERATED = "a program made this, no person; say so where people read it"


class ListedItem(BaseModel):
    """One recommended item."""

    rank: int
    item_id: str
    title: str
    score: float = Field(description="log-probability, in nats, with what a query adds")
    justification: str | None = Field(None, description="why; every claim in it was checked. Only with explain")
    written_by: str | None = Field(None, description=_WRITER)

    @classmethod
    def of(cls, item: RankedItem) -> ListedItem:
        """Return a ranked item of the engine."""
        return cls(
            rank=item.rank,
            item_id=item.item_id,
            title=item.title,
            score=item.score,
            justification=item.justification,
            written_by=item.written_by,
        )


class Recommendations(BaseModel):
    """A ranked list, best first. `notes`: what was done to the request; `request_id`: for events about its items."""

    request_id: str
    items: list[ListedItem]
    notes: list[str]
    generated: bool = Field(True, description=_GENERATED)


class NamedItem(BaseModel):
    """An item by id and title."""

    item_id: str
    title: str


class Influence(NamedItem):
    """An item of the history, and by how many nats it raises the score."""

    effect: float


class Explanation(NamedItem):
    """Why an item is recommended for a history."""

    score: float
    justification: str
    written_by: str = Field(description=_WRITER)
    generated: bool = Field(True, description=_GENERATED)
    rests_on: str = Field(description="which items of the history raise the score most, in a sentence")
    influences: list[Influence]
    contributions: dict[str, float] = Field(
        description="nats that each modality adds; none where it cannot be measured"
    )


class Change(BaseModel):
    """A change of the history that would list an item."""

    removed: list[NamedItem]
    added: list[NamedItem]


class WhyNot(NamedItem):
    """Where an item stands, what keeps it from the list, and what would bring it there."""

    listed: bool
    seen: bool
    rank: int
    barred_by: dict[str, str]
    changes: list[Change]
    text: str = Field(description="all of it in words")
    generated: bool = Field(True, description=_GENERATED)


class Similar(BaseModel):
    """Items whose texts are most like that of one, the most similar first."""

    items: list[NamedItem]


class SearchResult(BaseModel):
    """An item that a search found."""

    id: str
    title: str
    url: str


class SearchResults(BaseModel):
    """What a search found, the best first."""

    results: list[SearchResult]


class Document(BaseModel):
    """An item with all that is known of it."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, Any] = Field(description="its attributes, and whether it has a picture and a sound")


class KeptFeedback(BaseModel):
    """Feedback that was kept. `facts`: what it is about."""

    item_id: str
    opinion: str
    user: str | None
    facts: list[tuple[str, str]]
