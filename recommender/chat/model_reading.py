"""Messages read by the language model: what it says is meant by each name and value becomes a `Reading`."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from recommender.chat.cross_check import Meaning
from recommender.chat.reader import Reader, Reading
from recommender.chat.understanding import understood
from recommender.conversations.hearing import asked_about, suggested
from recommender.data.catalogue import Catalogue
from recommender.engine.listening import HeardConversation
from recommender.errors import RecommenderError
from recommender.prompting.conversation import ReadMention
from recommender.prompting.example import Example

#: readings that are kept: earlier messages of a conversation are not read again with each new one
_KEPT = 2048
#: mentions of a message that are read; a list of hundreds of names is taken for names that are liked
MOST_MENTIONS = 24
_LINE = re.compile(r"^\s*\d{1,2}\. (.+?)\s*$", re.MULTILINE)
Pairs = Sequence[tuple[str, str]]


class ListeningEngine(Protocol):
    """What reading needs of an engine."""

    def converse(self, messages: Pairs, history: np.ndarray | Sequence[int] = ()) -> HeardConversation:
        """Return messages as the language model hears them."""
        ...

    def read_prompt(self, prompt: Example, mentions: Sequence[ReadMention]) -> list[tuple[str, float]]:
        """Return what is meant by each mention of a conversation, and how sure that is."""
        ...


class ModelReader:
    """Reads messages about one catalogue with whichever engine listens."""

    def __init__(self, catalogue: Catalogue, reader: Reader) -> None:
        """`reader`: the rules, for what they read perfectly."""
        self.catalogue, self.reader = catalogue, reader
        self._kept: OrderedDict[tuple[object, ...], Reading] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, engine: ListeningEngine, messages: Pairs, known: Sequence[int] = ()) -> Reading:
        """Return what the last of some messages, the user's, asks for; `known`: items known beforehand."""
        messages = self.shortened(messages)
        key = (id(engine), tuple(messages), tuple(known))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        reading = self._reading(engine, messages, known)
        with self._lock:
            self._kept[key] = reading
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return reading

    def _reading(self, engine: ListeningEngine, messages: Pairs, known: Sequence[int]) -> Reading:
        try:
            heard = engine.converse(messages, np.array(known, np.int64))
        except RecommenderError:  # a message that is longer than what the model can read
            return self.reader.read(messages[-1][1])
        before = suggested(messages[-2][0], heard.mentions[-2]) if len(messages) > 1 else ()
        mentions = [*before, *heard.mentions[-1]][:MOST_MENTIONS]
        answers = engine.read_prompt(heard.prompt, asked_about(mentions))
        meanings = [Meaning(m, *answer) for m, answer in zip(mentions, answers[:-1], strict=True)]
        return understood(self.reader, messages[-1][1], heard.mentions[-1], meanings, answers[-1][0])

    @staticmethod
    def shortened(messages: Pairs) -> list[tuple[str, str]]:
        """Return messages in which a list of the assistant is only its names: its sentences were written for people."""
        return [(role, _names_only(text) if role == "assistant" else text) for role, text in messages]


def _names_only(text: str) -> str:
    names = _LINE.findall(text)
    return ", ".join(names) if names else text
