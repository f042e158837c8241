"""What an engine hears of a conversation: prompts of messages, of a history and a query, and of a history alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recommender.conversations.hearing import READING_ROOM, heard
from recommender.conversations.mentions import Mention, MentionFinder
from recommender.conversations.spoken import Likeness
from recommender.data.catalogue import Catalogue
from recommender.encoders.text import TextEncoder
from recommender.errors import AssetError
from recommender.numerics.vectors import unit_rows
from recommender.prompting.conversation import ConversationPrompts
from recommender.prompting.example import Example

logger = logging.getLogger(__name__)
#: last items of a history that a conversation's prompt tells
PROFILE = 20
#: what is asked where nothing was said
SILENCE = "What next?"
Message = tuple[str, str]
"""Role, user or assistant, and text."""


@dataclass(frozen=True)
class HeardConversation:
    """A conversation as a prompt. `mentions`: of each message; `kept`: how many of the last messages the prompt holds;
    `messages`: all of them."""

    prompt: Example
    mentions: tuple[tuple[Mention, ...], ...]
    kept: int
    messages: tuple[Message, ...] = ()


class ConversationReader:
    """Makes prompts of conversations about one catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        prompts: ConversationPrompts,
        popularity: np.ndarray,
        languages: Sequence[str] = ("en",),
    ) -> None:
        """`popularity` [items]: which of several namesakes is likely meant. `languages`: of messages."""
        self.catalogue, self.prompts, self.popularity, self.languages = catalogue, prompts, popularity, languages

    @cached_property
    def finder(self) -> MentionFinder:
        """Finds names and values in messages."""
        return MentionFinder(self.catalogue, self.popularity, self.languages)

    def conversation(
        self, messages: Sequence[Message], history: np.ndarray | Sequence[int] = (), positions: bool = True
    ) -> HeardConversation:
        """Return the prompt of messages, oldest first, behind what is known of a history of catalogue indices.

        `positions`: whether items stand behind their names.

        Raises RecommenderError for a last message that the model's window has no room for.
        """
        mentions = tuple(self.finder.find(text) for _, text in messages)
        shown = mentions if positions else [()] * len(mentions)
        turns = [heard(role, text, found) for (role, text), found in zip(messages, shown, strict=True)]
        prompt, kept = self.prompts.prompt(turns, _profile(history), READING_ROOM)
        return HeardConversation(prompt, mentions, kept, tuple(messages))

    def query(self, query: str, history: np.ndarray | Sequence[int] = ()) -> Example:
        """Return the prompt of a single sentence about what is wanted."""
        return self.conversation([("user", query)], history).prompt

    def silence(self, history: np.ndarray | Sequence[int]) -> Example:
        """Return the prompt of a history of which nothing more is said."""
        return self.query(SILENCE, history)


def _profile(history: np.ndarray | Sequence[int]) -> list[int]:
    return [int(item) for item in history][-PROFILE:]


def sentence_likeness(encoder: str | None, table: np.ndarray | None) -> Likeness | None:
    """Return what tells how like texts are to those of the items: cosines of the vectors of a sentence encoder.

    `table` [items, width]: the vectors of the items' texts. None where there are none, or the encoder is not at hand.
    """
    if encoder is None or table is None or not table.shape[1]:
        return None
    sentences = TextEncoder(encoder)
    try:
        sentences.load()
    except AssetError as error:
        logger.warning("conversations are ranked without sentence vectors: %s", error.message)
        return None
    unit = unit_rows(table)
    return lambda texts: unit_rows(sentences.encode(list(texts))) @ unit.T
