"""What may be recommended: seen items, filters, exclusions, feedback; and notes that say what was done to a request."""

from __future__ import annotations

import numpy as np
import torch

from recommender.data.catalogue import Catalogue
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.filters import matching
from recommender.engine.parts import HISTORY, without_note
from recommender.engine.ranking import ListRanker
from recommender.engine.requests import Request
from recommender.engine.stock import OutOfStock
from recommender.engine.turns import of_domains


class ListingRules:
    """Decides which items of a catalogue a request may be answered with."""

    def __init__(self, catalogue: Catalogue, feedback_policy: FeedbackPolicy) -> None:
        """`feedback_policy`: what people said is not for them is not shown to them again."""
        self.catalogue, self.feedback_policy = catalogue, feedback_policy
        self.stock = OutOfStock(catalogue)

    def unseen(self, history: np.ndarray) -> torch.Tensor:
        """Return bool [items]: all but the items of a history of catalogue indices, and what is out of stock."""
        allowed = torch.ones(len(self.catalogue), dtype=torch.bool)
        allowed[torch.from_numpy(np.asarray(history, dtype=np.int64))] = False
        allowed[torch.from_numpy(self.stock.items)] = False
        return allowed

    def allowed(self, request: Request, history: np.ndarray) -> torch.Tensor:
        """Return bool [items]: what may be recommended, which may be less than the request's k, or nothing.

        Raises RecommenderError for unknown ids, and for filters and domains that no item has.
        """
        allowed = self.unseen(history)
        if request.only is not None:
            listed = torch.zeros_like(allowed)
            listed[torch.from_numpy(self.catalogue.indices(request.only))] = True
            allowed &= listed
        if request.filters:
            allowed &= torch.from_numpy(matching(self.catalogue, request.filters))
        if request.domains:
            allowed &= torch.from_numpy(of_domains(self.catalogue, request.domains))
        allowed[torch.from_numpy(self.catalogue.indices(request.exclude))] = False
        allowed[self.feedback_policy.refused(request.user)] = False
        return allowed

    def boosts(self, request: Request) -> np.ndarray | None:
        """Return float32 [items]: nats that a request adds to the scores of items; None without any.

        Raises RecommenderError for unknown ids.
        """
        if not request.boosts:
            return None
        boosts = np.zeros(len(self.catalogue), np.float32)
        boosts[self.catalogue.indices(tuple(request.boosts))] = list(request.boosts.values())
        return boosts

    def notes(
        self, request: Request, ranker: ListRanker, shown: int, plain: str | None, allowed: int
    ) -> tuple[str, ...]:
        """Return what was done to a request, in words.

        `shown`: items of the history that the model read; `plain`: why sentences are plain, None if they are not;
        `allowed`: items that might be recommended.
        """
        notes = [short_list(request.k, allowed)] if allowed < request.k else []
        if request.explain and allowed and plain is not None:
            notes.append(plain)
        if ranker.setup.fusion is not None and ranker.fuses(request.fusing):
            notes.append(f"ranked together with {' and '.join(ranker.setup.fusion.baselines)}")
        if ranker.scores_query(request.query):
            notes.append("ranked by the query as well: by how like it the items' texts are")
        elif ranker.query_text(request.query):
            reason = ranker.why_not_compared
            notes.append(f"the query was read by the language model alone: {reason}")
        if request.boosts:
            notes.append(f"boosted: {len(request.boosts)} items")
        if refused := self.feedback_policy.refused(request.user):
            notes.append(f"left out, because they are not for this person: {len(refused)}")
        if request.without:
            notes.append(without_note(request.without, ranker.setup.listens and bool(ranker.query_text(request.query))))
        if not request.history:
            notes.append("no history: these are what a new person is most likely to start with")
        if len(request.history) > shown and HISTORY not in request.without:
            notes.append(f"the history was cut to its last {shown} items")
        return tuple(notes)


def short_list(k: int, allowed: int) -> str:
    """Return the note on a list of fewer items than the `k` that were asked for; `allowed`: how many there are."""
    if not allowed:
        return "nothing is left to recommend: history, filters, exclusions and feedback rule out every item"
    return f"{allowed} {'items' if allowed > 1 else 'item'} may be recommended, {k} were asked for"
