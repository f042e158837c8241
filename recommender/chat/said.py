"""What a conversation is answered to: its messages as they come, and what is known beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recommender.chat.replies import MakesList, plain_list
from recommender.engine.listening import SILENCE
from recommender.errors import RecommenderError
from recommender.justify.item_names import forms

Message = Mapping[str, str]


@dataclass(frozen=True)
class Said:
    """What a reply answers. `known`: items known beforehand; `shown`: the last list; `user`: who speaks; `restated`: what
    still counts, where something was taken back: then a model that listens hears this, not the messages; `make_list`: makes
    the list; `barred`: what is never listed."""

    messages: Sequence[Message]
    known: tuple[int, ...]
    shown: tuple[int, ...]
    user: str | None
    restated: str | None = None
    make_list: MakesList = plain_list
    barred: frozenset[int] = frozenset()

    @property
    def restated_turn(self) -> list[tuple[str, str]]:
        """What still counts as a conversation of one message."""
        return [("user", self.restated or SILENCE)]

    @property
    def text(self) -> str:
        """The last message."""
        return str(self.messages[-1]["content"])

    @property
    def last(self) -> str:
        """The last message, its words in the form that patterns are written in."""
        return " ".join(forms(self.text.replace("'", "").replace("’", "")))


def speech(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return who said what, without what no person said."""
    return [(str(m["role"]), str(m["content"])) for m in messages if m["role"] != "system"]


def content_of(message: Message, number: int) -> str:
    """Return what a message says. Raises RecommenderError for one of another form; `number`: its place."""
    if not isinstance(message, Mapping) or message.get("role") not in ("system", "user", "assistant"):
        raise RecommenderError(f"messages.{number}: expected a role of system, user or assistant")
    if not isinstance(message.get("content"), str):
        raise RecommenderError(f"messages.{number}.content: expected a text", "send pictures and sounds as text")
    return message["content"]
