"""How an engine ranks: there is one way, and chat, batch, server, studies and evaluation all take it.

The language model scores items behind a prompt. A query in words, boosts and the baselines that lie in a checkpoint change
these scores; then the best allowed items are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch

from recommender.data.cleaning import is_blank
from recommender.engine.heard import Heard
from recommender.engine.parts import off_now
from recommender.engine.query_scorer import QueryScorer, QueryScorerCache
from recommender.engine.setup import EngineSetup
from recommender.errors import RecommenderError
from recommender.inference.beam_search import Ranking
from recommender.prompting.example import Example, VectorOverrides, clean

NO_OVERRIDES: VectorOverrides = MappingProxyType({})


class PromptScorer(Protocol):
    """What only an engine can compute: the language model's scores behind a prompt."""

    def rank_prompts(self, prompts: Sequence[Example], k: int, allowed: torch.Tensor) -> list[Ranking]:
        """Return the best `k` allowed items of each prompt; `allowed` bool [prompts, items]."""
        ...

    def score_prompts(self, prompts: Sequence[Example], candidates: Sequence[int]) -> np.ndarray:
        """Return exact log-probabilities [prompts, candidates]."""
        ...

    def hear_prompts(self, prompts: Sequence[Example]) -> np.ndarray:
        """Return the log-probabilities of all items behind conversations [prompts, items]."""
        ...


@dataclass(frozen=True)
class Signals:
    """What ranks beside a history. `query`: a sentence about what is wanted. `boosts` float [items]: nats that are added to
    the items' scores. `fused`: whether the checkpoint's baselines rank along. `heard`: what was said, or the query, for a
    model that has learned to listen."""

    query: str | None = None
    boosts: np.ndarray | None = None
    fused: bool = False
    heard: Heard | None = None


class ListRanker:
    """Ranks and scores the items of one catalogue for histories."""

    def __init__(self, setup: EngineSetup, scorer: PromptScorer, query_scorers: QueryScorerCache) -> None:
        """`scorer`: the engine. `query_scorers`: what compares queries with items; engines of one model share it."""
        self.setup, self.scorer, self.query_scorers = setup, scorer, query_scorers

    @property
    def items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.setup.builder.code_tokens)

    def fuses(self, fused: bool | None) -> bool:
        """Return whether baselines rank along; `fused` None: as configured. Raises RecommenderError if there are none."""
        if self.setup.fusion is None:
            if fused:
                raise RecommenderError("the checkpoint holds nothing to fuse with", "give it some: recommender fuse")
            return False
        return self.setup.config.decoding.fused if fused is None else fused

    def prompts(
        self, histories: Sequence[np.ndarray], query: str | None = None, overrides: VectorOverrides = NO_OVERRIDES
    ) -> list[Example]:
        """Return what the model ranks for these histories; one that listens reads a query in a prompt of its own."""
        query = None if self.setup.listens else query
        prompts = [self.setup.builder.prompt(history, query) for history in histories]
        return [replace(prompt, overrides=overrides) for prompt in prompts] if overrides else prompts

    def scores_query(self, query: str | None) -> bool:
        """Return whether a query changes scores by the items' texts, beside being read by the language model."""
        return self._query_scorer(query) is not None

    def query_gains(self, query: str | None) -> np.ndarray | None:
        """Return float32 [items]: nats that a query adds to each score; None if nothing compares it with the items."""
        scorer = self._query_scorer(query)
        if scorer is None:
            return None
        return self.setup.config.decoding.query_weight * scorer.likeness(self.query_text(query))

    def _query_scorer(self, query: str | None) -> QueryScorer | None:
        if not self.setup.config.decoding.query_weight or "text" in off_now() or not self.query_text(query):
            return None
        return self.query_scorers(self.setup.features, self.setup.config.encoders.named("text"))

    @property
    def why_not_compared(self) -> str:
        """Why queries are not compared with the items' texts, where they are not."""
        if "text" in off_now():
            return "text is switched off"
        return self.query_scorers.unavailable_reason or "decoding.query_weight is 0"

    def query_text(self, query: str | None) -> str:
        """Return what a query says, cleaned; empty where it says nothing or is not to rank."""
        text = clean(query, self.setup.builder.tokenizer) if query else ""
        ranks = self.setup.listens or self.setup.config.decoding.query_weight > 0
        return text if ranks and not is_blank(text) else ""

    def changes_scores(self, signals: Signals) -> bool:
        """Return whether anything but the language model decides: then scores are needed, not only its best items."""
        more = signals.boosts is not None or signals.heard is not None
        return signals.fused or more or self.scores_query(signals.query)

    def rank(
        self,
        prompts: Sequence[Example],
        histories: Sequence[np.ndarray],
        k: int,
        allowed: torch.Tensor,
        signals: Sequence[Signals],
    ) -> list[Ranking]:
        """Return the best `k` allowed items of each prompt, fewer where fewer are allowed; `allowed` bool [prompts, items].

        `signals`: one for each prompt, all alike in `fused` and in whether they change scores (`changes_scores`). Where
        they do, all items are scored; with several levels, unless baselines rank along, only what a beam finds and as
        many items that gain most, since scoring all of them exactly takes a beam as wide as the catalogue.
        """
        if len(prompts):  # no beam need be wider than what may be listed
            k = max(min(k, int(allowed.sum(dim=1).max())), 1)
        if not any(map(self.changes_scores, signals)):
            return self.scorer.rank_prompts(prompts, k, allowed)
        several_levels = self.setup.builder.code_tokens.shape[1] > 1
        if several_levels and not signals[0].fused and all(signal.heard is None for signal in signals):
            return self._rank_widened(prompts, k, allowed, signals)
        scores = torch.from_numpy(self._scores(prompts, histories, signals)).masked_fill(~allowed.cpu(), -torch.inf)
        best, items = scores.topk(min(k, scores.shape[1]))
        return [Ranking(i[s > -torch.inf].numpy(), s[s > -torch.inf].numpy()) for s, i in zip(best, items, strict=True)]

    def score_all(
        self,
        histories: Sequence[np.ndarray],
        signals: Sequence[Signals],
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> np.ndarray:
        """Return the scores [histories, items] by which the whole catalogue is ranked; `signals`: one for each history."""
        prompts = self.prompts(histories, signals[0].query if signals else None, overrides)
        return self._scores(prompts, histories, signals)

    def _scores(
        self, prompts: Sequence[Example], histories: Sequence[np.ndarray], signals: Sequence[Signals]
    ) -> np.ndarray:
        ranked = [n for n, signal in enumerate(signals) if signal.heard is None or signal.heard.silence is not None]
        scores = np.zeros((len(prompts), self.items), np.float32)
        if ranked:
            scores[ranked] = self.scorer.score_prompts([prompts[n] for n in ranked], range(self.items))
        scores = _added(scores, self._heard_scores(signals))
        scores = _added(scores, self._query_gains(signals))
        if signals and signals[0].fused and self.setup.fusion is not None:
            # a fused score is the utility of a conditional logit, so that nats add to it as to a log-probability
            scores = self.setup.fusion.scores(scores, histories)
        return _added(scores, [signal.boosts for signal in signals])

    def _heard_scores(self, signals: Sequence[Signals]) -> list[np.ndarray | None]:
        """Return for each prompt the nats [items] that were heard, None where nothing was; see `Heard`."""
        heard = [(n, signal.heard) for n, signal in enumerate(signals) if signal.heard is not None]
        silent = [(n, told.silence) for n, told in heard if told.silence is not None]
        prompts = [told.prompt for _, told in heard] + [silence for _, silence in silent]
        gains: list[np.ndarray | None] = [None] * len(signals)
        if not prompts:
            return gains
        rows = self.scorer.hear_prompts(prompts)
        before = {n: row for (n, _), row in zip(silent, rows[len(heard) :], strict=True)}
        for (n, told), row in zip(heard, rows, strict=False):
            scores = row if told.tuned is None else told.tuned(row)
            gains[n] = scores - before[n] if n in before else scores
        return gains

    def _query_gains(self, signals: Sequence[Signals]) -> list[np.ndarray | None]:
        """Return for each prompt the nats [items] that its query adds; each query is read once."""
        by_query = {query: self.query_gains(query) for query in dict.fromkeys(signal.query for signal in signals)}
        return [by_query[signal.query] for signal in signals]

    def _rank_widened(
        self, prompts: Sequence[Example], k: int, allowed: torch.Tensor, signals: Sequence[Signals]
    ) -> list[Ranking]:
        width = max(k, self.setup.config.decoding.beam)
        beams, masks = self.scorer.rank_prompts(prompts, width, allowed), allowed.cpu().numpy()
        gains = [_sum(gain, signal.boosts) for gain, signal in zip(self._query_gains(signals), signals, strict=True)]
        rows = zip(prompts, beams, masks, gains, strict=True)
        return [self._widened(prompt, beam, mask, gain, width, k) for prompt, beam, mask, gain in rows]

    def _widened(
        self, prompt: Example, beam: Ranking, allowed: np.ndarray, gains: np.ndarray | None, width: int, k: int
    ) -> Ranking:
        """Return the `k` best of a beam and of the `width` allowed items that gain most."""
        if gains is None:
            return Ranking(beam.items[:k], beam.scores[:k])
        scores = dict(zip(beam.items.tolist(), beam.scores.tolist(), strict=True))
        permitted = np.flatnonzero(allowed)
        likely = permitted[np.argsort(-gains[permitted], kind="stable")[:width]].tolist()
        if others := [item for item in likely if item not in scores]:
            scores |= dict(zip(others, self.scorer.score_prompts([prompt], others)[0].tolist(), strict=True))
        items = np.array(list(scores), dtype=np.int64)
        total = np.array(list(scores.values()), dtype=np.float32) + gains[items].astype(np.float32)
        best = np.argsort(-total, kind="stable")[:k]
        return Ranking(items[best], total[best])


def _added(scores: np.ndarray, gains: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return scores [prompts, items] with what each prompt's items gain; None adds nothing."""
    if all(gain is None for gain in gains):
        return scores
    return np.stack([row if gain is None else row + gain for row, gain in zip(scores, gains, strict=True)])


def _sum(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second
