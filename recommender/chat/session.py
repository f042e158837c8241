"""One conversation with its messages: what a terminal holds between two lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from recommender.chat.conversation import NO_DOMAINS, Chat
from recommender.chat.english_patterns import PICTURE_TURN
from recommender.chat.replies import Reply
from recommender.chat.scope import known_domains
from recommender.data.id_fields import history_ids
from recommender.engine import Engine
from recommender.engine.parts import Part


class FileQueries(Protocol):
    """What turns files into queries."""

    def hear(self, path: Path, hint: str | None = None) -> str:
        """Return what is said in a sound file; `hint`: words that may well be said."""
        ...

    def see(self, path: Path) -> np.ndarray:
        """Return float [items]: nats for looking like a picture."""
        ...


@dataclass
class Session:
    """Messages so far, and what is known beforehand.

    `history`: item ids; `k`: length of the first list; `user`: whose; `without`: parts of the ranking that are off;
    `domains`: of which lists are where no message asks for others, as `Chat.reply` takes them.
    """

    chat: Chat
    media_queries: FileQueries
    history: Sequence[str] = ()
    k: int = 5
    explain: bool = True
    user: str | None = None
    without: Sequence[Part] = ()
    domains: Mapping[str, int] = field(default_factory=dict)
    messages: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        engine: Engine,
        media_queries: FileQueries,
        history: Sequence[str] | None,
        k: int,
        explain: bool,
        user: str | None = None,
        without: Sequence[Part] = (),
        domains: Mapping[str, int] = NO_DOMAINS,
    ) -> Session:
        """Return a new conversation with an engine. Raises DataError for unknown ids, RecommenderError for parts that
        cannot be switched off, and for unknown domains."""
        engine.check_parts(without)
        history = () if history is None else history
        engine.catalogue.indices(history_ids(history))
        chat = Chat.of(engine)
        known_domains(domains, chat.reader.domains)
        return cls(chat, media_queries, history, k, explain, user, without, domains)

    def say(self, text: str) -> Reply:
        """Answer a message."""
        return self._answered(text, None)

    def hear(self, path: Path) -> Reply:
        """Answer a spoken message. Raises DataError if the file cannot be understood."""
        return self.say(self.media_queries.hear(path, self.chat.hint))

    def show(self, path: Path) -> Reply:
        """Answer a picture with what looks like it. Raises DataError if the file is no picture."""
        return self._answered(PICTURE_TURN, self.media_queries.see(path))

    def _answered(self, text: str, boosts: np.ndarray | None) -> Reply:
        messages = [*self.messages, {"role": "user", "content": text}]
        known = self.history, self.k, self.explain, boosts, self.user, self.without
        reply = self.chat.reply(messages, *known, domains=self.domains)
        self.messages = [*messages, {"role": "assistant", "content": reply.text}]
        return reply
