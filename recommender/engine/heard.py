"""What is heard of a request: a query or a conversation, and how it changes a ranking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recommender.conversations.spoken import Likeness, spoken_of
from recommender.conversations.tuned import Tuned
from recommender.engine.listening import ConversationReader, HeardConversation
from recommender.prompting.example import Example


@dataclass(frozen=True)
class Heard:
    """What the language model listens to. `prompt`: a conversation, or a query. `silence`: the same
    history with nothing said, where that is ranked by itself: then what was said counts by how much it changes scores.
    `tuned`: what was heard, log-probabilities [items] -> scores [items] together with plain signals of the conversation."""

    prompt: Example
    silence: Example | None = None
    tuned: Callable[[np.ndarray], np.ndarray] | None = None


def heard_query(reader: ConversationReader | None, said: str, history: np.ndarray) -> Heard | None:
    """Return a query as the model hears it; None where nothing is said, or the model has not learned to listen."""
    if reader is None or not said:
        return None
    return Heard(reader.query(said, history), _silence(reader, history))


def heard_conversation(
    reader: ConversationReader | None,
    conversation: HeardConversation,
    tuned: Tuned | None,
    likeness: Likeness | None,
    history: np.ndarray,
) -> Heard:
    """Return a conversation behind a history; `tuned`: how it ranks together with plain signals, None for by itself."""
    silence = None if reader is None else _silence(reader, history)
    if tuned is None:
        return Heard(conversation.prompt, silence)
    spoken = spoken_of(conversation.messages, conversation.mentions, tuned.works)
    return Heard(conversation.prompt, silence, lambda heard: tuned.scores(heard[None], [spoken], likeness)[0])


def _silence(reader: ConversationReader, history: np.ndarray) -> Example | None:
    return reader.silence(history) if len(history) else None
