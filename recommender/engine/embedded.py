"""The embedded engine: ranks and explains with torch in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    DynamicCache,
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.config import Modality
from recommender.constraints import Trie
from recommender.constraints.text_constraint import BREAK, LONGEST, TextConstraint, lines_of, token_pieces
from recommender.data.catalogue import Catalogue
from recommender.data.id_fields import history_ids
from recommender.encoders.features import Features
from recommender.engine.engine import Engine
from recommender.engine.justifying import evidence_as_dict
from recommender.engine.priority_lock import PriorityLock
from recommender.engine.ranking import NO_OVERRIDES
from recommender.fusion.stored import FUSION_FILE, StoredFusion
from recommender.inference import beam_search
from recommender.inference.beam_search import Ranking
from recommender.inference.constrained_text import ConstraintProcessor
from recommender.inference.weight_cache import WeightCache
from recommender.justify import answers
from recommender.justify.template_selection import selected_templates
from recommender.model import RecommenderModel
from recommender.model.checkpoint import TEMPLATE_SELECTION, Checkpoint, from_pretrained, resolve
from recommender.model.manifest import weights_of
from recommender.progress import Progress
from recommender.prompting.example import Example, VectorOverrides

PROMPTS_AT_ONCE = 16


class Recommender(Engine):
    """A trained model that recommends: `Recommender.from_pretrained(folder).recommend(history, k=10)`."""

    name = "embedded"
    at_once = PROMPTS_AT_ONCE

    def __init__(self, checkpoint: Checkpoint, fusion: StoredFusion | None = None) -> None:
        """Serve a loaded checkpoint; `fusion`: what ranks along with it."""
        features = checkpoint.model.features
        super().__init__(checkpoint.catalogue, checkpoint.config, checkpoint.builder, features, fusion)
        # an adapter that learned nothing, or other prompts, would be replaced sentence by sentence
        self.writes, self.plain_because = checkpoint.writes, checkpoint.plain_because
        if self.writes:  # it is asked for the templates that it writes well
            self.setup.style = replace(
                self.style, lines=selected_templates(checkpoint.metrics.get(TEMPLATE_SELECTION, {}))
            )
        self.model = checkpoint.model.eval()
        self.weights = WeightCache(self.model)
        self.tokenizer = checkpoint.tokenizer
        self.trie = Trie.from_codes(self.model.ids.codes, self.model.ids.sizes, device=self.model.device)
        # one adapter is active at a time: two threads must not switch it under each other
        self._lock = PriorityLock()

    @classmethod
    def from_pretrained(
        cls, source: str | Path, catalogue: Catalogue | str | Path | None = None, progress: Progress | None = None
    ) -> Recommender:
        """Load a checkpoint folder; `catalogue`: its items, or their table, if they are not where it says.

        Raises CheckpointError, AssetError or DataError.
        """
        kept = resolve(source) / FUSION_FILE
        loaded = from_pretrained(source, catalogue, progress)
        opened = cls(loaded, StoredFusion.load(kept) if kept.is_file() else None)
        opened.source, opened.files = str(source), weights_of(resolve(source))
        return opened

    def rank_prompts(self, prompts: Sequence[Example], k: int, allowed: torch.Tensor) -> list[Ranking]:
        """Return the best `k` allowed items of each prompt; `allowed` bool [prompts, items]."""
        rankings: list[Ranking] = []
        for start in range(0, len(prompts), PROMPTS_AT_ONCE):
            part = slice(start, start + PROMPTS_AT_ONCE)
            with self._lock.high():
                beam, exact = self.config.decoding.beam, self.config.decoding.exact
                rankings += beam_search.rank(
                    self.weights, prompts[part], self.trie, k, beam, allowed[part], self.builder.prefix, exact
                )
        return rankings

    def score_prompts(self, prompts: Sequence[Example], candidates: Sequence[int]) -> np.ndarray:
        """Return exact log-probabilities [prompts, candidates]."""
        parts = []
        for start in range(0, len(prompts), PROMPTS_AT_ONCE):
            with self._lock.high():
                part = prompts[start : start + PROMPTS_AT_ONCE]
                parts.append(beam_search.score(self.weights, part, candidates, instruction=self.builder.prefix))
        return np.concatenate(parts)

    def explain_item(
        self, history: Sequence[str], item_id: str, query: str | None = None, user: str | None = None
    ) -> dict[str, Any]:
        """Explain one item for a history of item ids: sentence, evidence, score, what modalities and a query add to it."""
        known, item = self.catalogue.indices(history_ids(history)), self.catalogue.index(item_id)
        justification = self.explain(known, [item], query, user)[0]
        effects = {m: round(float(e[0]), 4) for m, e in self.contributions(known, [item], query).items()}
        gains = self.ranker.query_gains(query)
        return {
            "item_id": self.catalogue[item].item_id,
            "title": self.catalogue[item].title,
            "score": float(self.score([known], [item], query)[0, 0] + (0.0 if gains is None else gains[item])),
            "query": None if gains is None else round(float(gains[item]), 4),
            "justification": justification.text,
            "written_by": justification.source,
            "rests_on": answers.rests_on(self.catalogue, justification.evidence, self.style),
            "evidence": evidence_as_dict(justification, self.catalogue),
            "contributions": effects,
        }

    def contributions(
        self,
        history: np.ndarray,
        items: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> dict[Modality, np.ndarray]:
        """Return for each modality its effect on each item's score [items]: the score less the score with the modality
        absent everywhere."""
        whole = self.score([history], items, query, overrides)[0]
        effects: dict[Modality, np.ndarray] = {}
        for modality in self.model.modalities:
            with self._lock.high(), self.model.muted(modality):
                effects[modality] = whole - self.score([history], items, query, overrides)[0]
        return effects

    def set_features(self, features: Features) -> None:
        """Replace the items' encoder vectors, e.g. by freshly encoded ones."""
        with self._lock.high():
            self.model.set_features(features)
            self.setup.features = features

    @torch.no_grad()
    def write(
        self,
        prompts: Sequence[str],
        names: Sequence[Sequence[str]] | None = None,
        stop: threading.Event | None = None,
    ) -> list[str]:
        """Answer user messages with the writing adapter, greedily, one text each; texts are cut short once `stop` is set.

        `names`: for each message, the only texts that may stand within quotation marks.
        """
        turns = [torch.from_numpy(self.builder.chat_turn(prompt)) for prompt in prompts]
        longest = max((len(turn) for turn in turns), default=0)
        pad = self.tokenizer.eos_token_id
        ids = torch.stack([torch.nn.functional.pad(t, (longest - len(t), 0), value=pad) for t in turns])
        mask = torch.stack([torch.arange(longest) >= longest - len(turn) for turn in turns]).long()
        constraint = (
            [ConstraintProcessor(self.tokenizer, [TextConstraint(tuple(one)) for one in names], longest)]
            if names
            else []
        )
        with self._lock.low():
            self.model.use_adapter(EXPLAIN)
            try:
                out = self.model.llm.generate(
                    input_ids=ids.to(self.model.device),
                    attention_mask=mask.to(self.model.device),
                    generation_config=self._greedily(self.config.justify.max_new_tokens),
                    logits_processor=LogitsProcessorList(constraint),
                    stopping_criteria=StoppingCriteriaList([_BetweenTokens(self.model, self._lock, stop)]),
                )
            finally:
                self.model.use_adapter(RANK)
        return [str(text).strip() for text in self.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)]

    @torch.no_grad()
    def write_list(self, prompt: str, constraint: TextConstraint, stop: threading.Event | None = None) -> Iterator[str]:
        """Answer a user message with a list that is held to its items; each line as it is written, in one generation."""
        ids = torch.from_numpy(self.builder.chat_turn(prompt))[None].to(self.model.device)
        start, cache, spans = ids.shape[1], DynamicCache(), token_pieces(self.tokenizer)
        for number in range(len(constraint.items)):
            with self._lock.low():  # between two lines nobody is kept waiting, whoever reads them
                self.model.use_adapter(EXPLAIN)
                try:
                    ids = self.model.llm.generate(
                        input_ids=ids,
                        attention_mask=torch.ones_like(ids),
                        past_key_values=cache,
                        generation_config=self._greedily(2 * LONGEST),
                        logits_processor=LogitsProcessorList(
                            [ConstraintProcessor(self.tokenizer, [constraint], start)]
                        ),
                        stopping_criteria=StoppingCriteriaList(
                            [_BetweenTokens(self.model, self._lock, stop), EosTokenCriteria(spans.known[BREAK])]
                        ),
                    )
                finally:
                    self.model.use_adapter(RANK)
            written = spans.text([i for i in ids[0, start:].tolist() if i != spans.end])
            if stop is not None and stop.is_set():
                return
            yield lines_of(written)[number]

    def _greedily(self, tokens: int) -> GenerationConfig:
        """Explicit: a base model's inherited sampling settings must not decide what is written."""
        end = self.tokenizer.eos_token_id
        return GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=end, pad_token_id=end)


class _BetweenTokens(StoppingCriteria):
    """Between two tokens of a text: whoever waits for a ranked list goes first, and nobody writes for who has left."""

    def __init__(self, model: RecommenderModel, lock: PriorityLock, stop: threading.Event | None) -> None:
        self.model, self.lock, self.stop = model, lock, stop

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if self.lock.high_is_waiting:
            self.model.use_adapter(RANK)
            self.lock.yield_to_high()
            self.model.use_adapter(EXPLAIN)
        ended = self.stop is not None and self.stop.is_set()
        return torch.full((len(input_ids),), ended, dtype=torch.bool, device=input_ids.device)
