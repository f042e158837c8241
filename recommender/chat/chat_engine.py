"""What a conversation needs of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from recommender.data.catalogue import Catalogue
from recommender.engine.listening import HeardConversation
from recommender.engine.parts import Part
from recommender.engine.popularity import Popularity
from recommender.inference.beam_search import Ranking
from recommender.justify import Justification
from recommender.prompting.conversation import ReadMention
from recommender.prompting.example import Example


class ChatEngine(Protocol):
    """What a conversation needs of an engine: see `recommender.engine.Engine`."""

    @property
    def catalogue(self) -> Catalogue:
        """The items that may be recommended."""
        ...

    def rank(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        allowed: torch.Tensor | None = None,
        query: str | None = None,
        fused: bool | None = None,
        *,
        boosts: np.ndarray | None = None,
        conversation: HeardConversation | None = None,
    ) -> list[Ranking]:
        """Return the best `k` allowed items of each history, and of what was said."""
        ...

    def score_all(
        self,
        histories: Sequence[np.ndarray],
        query: str | None = None,
        fused: bool | None = None,
        *,
        boosts: np.ndarray | None = None,
        conversation: HeardConversation | None = None,
    ) -> np.ndarray:
        """Return the scores [histories, items] by which the catalogue is ranked."""
        ...

    @property
    def listens(self) -> bool:
        """Whether the language model has learned to listen to what is said."""
        ...

    def converse(
        self, messages: Sequence[tuple[str, str]], history: np.ndarray | Sequence[int] = ()
    ) -> HeardConversation:
        """Return messages as the language model hears them."""
        ...

    def read_prompt(self, prompt: Example, mentions: Sequence[ReadMention]) -> list[tuple[str, float]]:
        """Return what is meant by each mention of a conversation, and how sure that is."""
        ...

    def scores_query(self, query: str | None) -> bool:
        """Return whether a query in free words ranks."""
        ...

    def similar_items(self, item: int, count: int) -> list[int]:
        """Return the items most like one in their texts."""
        ...

    def explain(
        self, history: np.ndarray, items: Sequence[int], query: str | None = None, user: str | None = None
    ) -> list[Justification]:
        """Return a checked justification for each item."""
        ...

    def caveats(self, history: np.ndarray, items: Sequence[int], user: str | None = None) -> list[str]:
        """Return for each item a sentence that says how it is unlike the history; "" for none."""
        ...

    def check_parts(self, without: Sequence[Part]) -> None:
        """Raise RecommenderError for a part of the ranking that cannot be left out."""
        ...

    @property
    def popularity(self) -> Popularity:
        """How popular each item is."""
        ...
