"""Questions back within a conversation: why this, why not that one, what if, and what the catalogue knows of an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.chat.dialogue_state import DialogueState, items_at_ranks
from recommender.chat.reader import Question
from recommender.chat.scope import turns
from recommender.data.catalogue import Catalogue
from recommender.justify import Justification, Style, answers
from recommender.justify.counterfactual import MOST_CHANGES, ScoreAll, shift, shortfall
from recommender.justify.fact_answers import fact_answer
from recommender.justify.facts import facts_of
from recommender.justify.item_names import display_name, namesakes

#: history items whose removal is tried, and items alike whose addition is
WINDOW, ADDITIONS = 20, 10


@dataclass(frozen=True)
class Situation:
    """What a question is asked about. `history`: what the list was ranked for; `shown`: the last list; `scores`: as it
    was ranked; `similar_items`: (item, number) -> items like it; `explain`: items -> checked sentences."""

    catalogue: Catalogue
    style: Style
    state: DialogueState
    history: np.ndarray
    shown: Sequence[int]
    scores: ScoreAll
    similar_items: Callable[[int, int], list[int]]
    explain: Callable[[Sequence[int]], list[Justification]]

    def answer(self, question: Question) -> str:
        """Return the answer in words."""
        about = self._about(question)
        if not about:
            return "Which one do you mean? Name it, or say its place in the list."
        if question.kind == "fact":
            return " ".join(fact_answer(self.catalogue, item, question.topic, self.style) for item in about[:2])
        if question.kind == "what_if":
            return self._what_if(about)
        if question.kind == "why_not":
            return " ".join(self._why_not(item) for item in about[:2])
        return self._why(about[:3])

    def _about(self, question: Question) -> list[int]:
        items = [*question.items, *items_at_ranks(question.ranks, self.shown)]
        if not items and question.kind in ("why", "fact") and not question.ranks:
            items = list(self.shown[:1])
        return list(dict.fromkeys(items))

    def _why(self, items: Sequence[int]) -> str:
        absent = [item for item in items if item not in self.shown]
        parts = [self._why_not(item) for item in absent]
        for justification in self.explain([item for item in items if item in self.shown]):
            parts += [justification.text, answers.rests_on(self.catalogue, justification.evidence, self.style)]
        return " ".join(parts)

    def _why_not(self, item: int) -> str:
        unmet, free = self.state.failed_by(facts_of(self.catalogue, item))
        hidden = item in self.state.hidden
        barred = [*unmet, *([answers.barred("hidden", self.style)] if hidden else [])]
        seen = bool(item in self.history)
        added = [other for other in self.similar_items(item, 2 * ADDITIONS) if other not in self.history][:ADDITIONS]
        most = 0 if seen or hidden else MOST_CHANGES
        same_name = namesakes(self.catalogue, item, (*self.history.tolist(), *added))
        allowed = self._allowed(free)
        own = turns(free, self.catalogue)
        standing = shortfall(self.history, item, self._k, self.scores, allowed, WINDOW, added, most, same_name, own)
        return answers.why_not(self.catalogue, standing, self._k, self.style, barred, seen)

    def _what_if(self, items: Sequence[int]) -> str:
        known = [item for item in items if item in self.history]
        if not known:
            names = " and ".join(f'"{display_name(self.catalogue[item])}"' for item in items)
            return f"{names} {'are' if len(items) > 1 else 'is'} not in what you told me, so nothing would change."
        allowed, own = self._allowed(self.state), turns(self.state, self.catalogue)
        change = shift(self.history, known, self._k, self.scores, allowed, own)
        return answers.what_if(self.catalogue, known, change, self.style)

    @property
    def _k(self) -> int:
        return len(self.shown) or self.state.k

    def _allowed(self, state: DialogueState) -> np.ndarray:
        allowed = state.allowed(self.catalogue)
        allowed[self.history] = False
        return allowed
