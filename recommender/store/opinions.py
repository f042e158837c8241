"""Feedback, and what follows from it for each person and item.

`helpful`: that person's next justifications are more like it. `not for me`: the item is not shown to that person again.
`wrong`: the facts are not told again, to anybody. A person's last opinion of an item counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from recommender.data.id_fields import ItemId, UserId, ValueText, given_fields
from recommender.errors import DataError, wrong_fields

Opinion = Literal["helpful", "wrong", "not for me"]
OPINIONS: tuple[Opinion, ...] = get_args(Opinion)
Fact = tuple[str, ValueText]
HelpfulText = tuple[tuple[str, ...], str]
"""The attributes that a justification told, and the justification, "" if it was not given."""


class WrongText(NamedTuple):
    """What somebody called wrong: the item, the facts that it is about, and the justification, "" if it was not given."""

    person: str
    item_id: str
    facts: tuple[Fact, ...]
    text: str


class Feedback(BaseModel):
    """One opinion of an item or of its justification. `facts`: the (attribute, value) pairs that it is about."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    item_id: ItemId = Field(max_length=200)
    opinion: Opinion
    user: UserId = Field(
        None, max_length=200, description="whose opinion it is; `helpful` and `not for me` count for this user only"
    )
    facts: tuple[Fact, ...] = Field(
        (), max_length=50, description="attribute and value of each fact that is wrong or was helpful"
    )
    justification: str | None = Field(
        None,
        max_length=600,
        # `sentence` is the name of earlier versions, in requests and in the lines of a file
        validation_alias=AliasChoices("justification", "sentence"),
        description="the justification as it was shown; its facts are meant",
    )
    time: str = Field("", max_length=40, description="when it was stored; set by the store")

    @model_validator(mode="before")
    @classmethod
    def _given(cls, fields: Any) -> Any:
        return given_fields(fields, cls.model_fields)


def read_feedback(**fields: Any) -> Feedback:
    """Return a Feedback. Raises DataError naming the fields that are wrong, in one line."""
    try:
        return Feedback(**fields)
    except ValidationError as error:
        raise DataError(f"this cannot be kept as feedback: {wrong_fields(error)}") from None


def check_usable(feedback: Feedback) -> None:
    """Raise DataError if nothing can follow from feedback."""
    if feedback.opinion != "wrong" and feedback.user is None:
        raise DataError(f"feedback {feedback.opinion!r} needs to know whose it is", "give a user")
    if feedback.opinion == "wrong" and not feedback.facts:
        raise DataError("feedback 'wrong' needs to know what is wrong", "give a fact, or the justification")


class KeepsFeedback(Protocol):
    """Where feedback is kept: a file, or a store."""

    def add(self, feedback: Feedback) -> Feedback:
        """Keep feedback, stamped with the time, and return it. Raises DataError if nothing can follow from it."""
        ...

    def refresh(self) -> None:
        """Read what others have added."""
        ...

    def check_writable(self) -> None:
        """Raise OSError if nothing can be added at the moment."""
        ...

    def refused_items(self, user: str | None) -> frozenset[str]:
        """Return the ids of the items that are not for this user."""
        ...

    def wrong_facts(self, votes: int = 1) -> Mapping[str, frozenset[Fact]]:
        """Return item id -> the facts that at least `votes` users called wrong."""
        ...

    def wrong_texts(self) -> tuple[WrongText, ...]:
        """Return what was called wrong, oldest first, each once a person."""
        ...

    def helpful_texts(self, user: str | None) -> tuple[HelpfulText, ...]:
        """Return what this user called helpful, one entry an item, oldest first, and nothing that they took back."""
        ...


class Opinions:
    """All opinions so far. People are named by any text: user ids, or pseudonyms."""

    def __init__(self) -> None:
        self._last: defaultdict[str, dict[str, Opinion]] = defaultdict(dict)
        self._wrong: defaultdict[tuple[str, Fact], set[str]] = defaultdict(set)
        self._wrong_texts: dict[WrongText, None] = {}
        self._helpful: defaultdict[str, dict[str, HelpfulText]] = defaultdict(dict)

    def take_in(self, feedback: Feedback) -> None:
        """Count one more opinion."""
        if feedback.opinion == "wrong":
            for fact in feedback.facts:
                self._wrong[feedback.item_id, fact].add(feedback.user or "")
            text = feedback.justification or ""
            self._wrong_texts[WrongText(feedback.user or "", feedback.item_id, feedback.facts, text)] = None
        elif feedback.user is not None:
            self._last[feedback.user][feedback.item_id] = feedback.opinion
            self._helpful[feedback.user].pop(feedback.item_id, None)
            if feedback.opinion == "helpful":
                told = tuple(dict.fromkeys(name for name, _ in feedback.facts))
                self._helpful[feedback.user][feedback.item_id] = told, feedback.justification or ""

    def refused_items(self, user: str | None) -> frozenset[str]:
        """Return the ids of the items that are not for this user."""
        opinions = self._last.get(user or "", {})
        return frozenset(item for item, opinion in opinions.items() if opinion == "not for me")

    def wrong_facts(self, votes: int = 1) -> Mapping[str, frozenset[Fact]]:
        """Return item id -> the facts that at least `votes` users called wrong; all without a name count as one user."""
        facts: defaultdict[str, set[Fact]] = defaultdict(set)
        for (item, fact), users in self._wrong.items():
            if len(users) >= votes:
                facts[item].add(fact)
        return MappingProxyType({item: frozenset(wrong) for item, wrong in facts.items()})

    def wrong_texts(self) -> tuple[WrongText, ...]:
        """Return what was called wrong, oldest first, each once a person."""
        return tuple(self._wrong_texts)

    def helpful_texts(self, user: str | None) -> tuple[HelpfulText, ...]:
        """Return what this user called helpful, one entry an item, oldest first, and nothing that they took back."""
        return tuple(self._helpful.get(user or "", {}).values())
