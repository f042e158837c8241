"""The embedded engine: ranks and explains with torch in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from recommender import decoding
from recommender.adapters.lora import EXPLAIN, RANK
from recommender.catalogue import Catalogue
from recommender.config import Modality
from recommender.decoding import Ranking
from recommender.encoders.features import Features
from recommender.engine.types import RankedItem, Request, Response, request
from recommender.errors import RecommenderError
from recommender.fusion import FUSION, KeptFusion
from recommender.justify import ClaimChecker, Justification, find_evidence, justify
from recommender.model.checkpoint import Checkpoint, from_pretrained, resolve
from recommender.progress import Progress
from recommender.trie import Trie

PROMPTS_AT_ONCE = 16


class Recommender:
    """A trained model that recommends: `Recommender.from_pretrained(folder).recommend(history, k=10)`."""

    def __init__(self, checkpoint: Checkpoint, fusion: KeptFusion | None = None) -> None:
        """Serve a loaded checkpoint; `fusion`: what ranks along with it."""
        self.fusion = fusion
        self.catalogue, self.config = checkpoint.catalogue, checkpoint.config
        self.model = checkpoint.model.eval()
        self.tokenizer = checkpoint.tokenizer
        self.builder = checkpoint.builder
        self.trie = Trie.from_codes(self.model.ids.codes, self.model.ids.sizes, device=self.model.device)
        self.checker = ClaimChecker(self.catalogue)
        # one adapter is active at a time: two threads must not switch it under each other
        self._lock = threading.RLock()

    @classmethod
    def from_pretrained(
        cls, source: str | Path, catalogue: Catalogue | str | Path | None = None, progress: Progress | None = None
    ) -> Recommender:
        """Load a checkpoint folder; `catalogue`: its items, or their table, if they are not where it says.

        Raises CheckpointError, AssetError or DataError.
        """
        kept = resolve(source) / FUSION
        loaded = from_pretrained(source, catalogue, progress)
        return cls(loaded, KeptFusion.load(kept) if kept.is_file() else None)

    def recommend(self, history: Sequence[str], k: int = 10, **options: Any) -> list[RankedItem]:
        """Return the `k` best items for a history of item ids, oldest first; options are the fields of Request."""
        return list(self.answer(request(history=tuple(history), k=k, **options)).items)

    def answer(self, request: Request) -> Response:
        """Rank, and explain if asked to. Raises RecommenderError for unknown ids and for a k that cannot be met."""
        history = self.catalogue.indices(request.history)
        allowed = self._allowed(request, history)
        fused = self._fused(request)
        ranking = self.rank([history], request.k, allowed[None], request.wish, fused=fused)[0]
        reasons: Sequence[Justification | None] = [None] * len(ranking.items)
        if request.explain:
            reasons = self.explain(history, [int(i) for i in ranking.items], request.wish)
        items = [
            self._ranked(rank, int(item), float(score), reason)
            for rank, (item, score, reason) in enumerate(zip(ranking.items, ranking.scores, reasons, strict=True), 1)
        ]
        return Response(tuple(items), self._notes(request))

    def rank(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        allowed: torch.Tensor | None = None,
        wish: str | None = None,
        fused: bool = False,
    ) -> list[Ranking]:
        """Rank for histories of catalogue indices; `allowed` bool [histories, items], by default all but the seen.

        `fused`: together with the baselines that lie in the checkpoint. Then all items are scored, not a beam.
        """
        if allowed is None:
            allowed = torch.stack([self._unseen(history) for history in histories])
        if fused:
            return self._rank_fused(histories, k, allowed, wish)
        prompts = [self.builder.prompt(history, wish) for history in histories]
        found: list[Ranking] = []
        with self._lock:
            for start in range(0, len(prompts), PROMPTS_AT_ONCE):
                part = slice(start, start + PROMPTS_AT_ONCE)
                beam = self.config.decoding.beam
                found += decoding.rank(self.model, prompts[part], self.trie, k, beam, allowed[part])
        return found

    def _rank_fused(
        self, histories: Sequence[np.ndarray], k: int, allowed: torch.Tensor, wish: str | None
    ) -> list[Ranking]:
        if self.fusion is None:
            raise RecommenderError("the checkpoint holds nothing to fuse with", "give it some: recommender fuse")
        own = self.score(histories, range(len(self.catalogue)), wish)
        scores = torch.from_numpy(self.fusion.scores(own, histories)).masked_fill(~allowed.cpu(), -torch.inf)
        best, items = scores.topk(min(k, scores.shape[1]))
        return [Ranking(i[s > -torch.inf].numpy(), s[s > -torch.inf].numpy()) for s, i in zip(best, items, strict=True)]

    def score(self, histories: Sequence[np.ndarray], candidates: Sequence[int], wish: str | None = None) -> np.ndarray:
        """Return exact log-probabilities [histories, candidates]."""
        prompts = [self.builder.prompt(history, wish) for history in histories]
        with self._lock:
            parts = [
                decoding.score(self.model, prompts[start : start + PROMPTS_AT_ONCE], candidates)
                for start in range(0, len(prompts), PROMPTS_AT_ONCE)
            ]
        return np.concatenate(parts)

    def explain(self, history: np.ndarray, items: Sequence[int], wish: str | None = None) -> list[Justification]:
        """Find what drove each item, have the LLM write a sentence from it, and check the sentence."""
        config = self.config.justify
        score = partial(self.score, wish=wish)
        evidence = find_evidence(self.catalogue, history, items, score, window=config.window, most=config.evidence)
        return justify(self.catalogue, evidence, self.write, self.checker, self.config.prompt.noun)

    def why(self, history: Sequence[str], item_id: str) -> dict[str, Any]:
        """Explain one item for a history of item ids: sentence, evidence, score and what each modality adds to it."""
        known, item = self.catalogue.indices(history), self.catalogue.index(item_id)
        reason = self.explain(known, [item])[0]
        effects = {m: round(float(e[0]), 4) for m, e in self.contributions(known, [item]).items()}
        return {
            "item_id": item_id,
            "title": self.catalogue[item].title,
            "score": float(self.score([known], [item])[0, 0]),
            "justification": reason.text,
            "written_by": reason.source,
            "evidence": _plain(reason, self.catalogue),
            "contributions": effects,
        }

    def contributions(self, history: np.ndarray, items: Sequence[int]) -> dict[Modality, np.ndarray]:
        """Return for each modality its effect on each item's score [items]: the score less the score with the modality
        absent everywhere."""
        whole = self.score([history], items)[0]
        effects: dict[Modality, np.ndarray] = {}
        for modality in self.model.modalities:
            with self._lock, self.model.muted(modality):
                effects[modality] = whole - self.score([history], items)[0]
        return effects

    def set_features(self, features: Features) -> None:
        """Replace the items' encoder vectors, e.g. by freshly encoded ones."""
        with self._lock:
            self.model.set_features(features)

    @torch.no_grad()
    def write(self, prompts: Sequence[str]) -> list[str]:
        """Answer user messages with the writing adapter, greedily; one text each."""
        turns = [torch.from_numpy(self.builder.chat_turn(prompt)) for prompt in prompts]
        longest = max((len(turn) for turn in turns), default=0)
        pad = self.tokenizer.eos_token_id
        ids = torch.stack([torch.nn.functional.pad(t, (longest - len(t), 0), value=pad) for t in turns])
        mask = torch.stack([torch.arange(longest) >= longest - len(turn) for turn in turns]).long()
        # explicit: a base model's inherited sampling settings must not decide what is written
        options = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.config.justify.max_new_tokens,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=pad,
        )
        with self._lock:
            self.model.use_adapter(EXPLAIN)
            try:
                out = self.model.llm.generate(
                    input_ids=ids.to(self.model.device),
                    attention_mask=mask.to(self.model.device),
                    generation_config=options,
                )
            finally:
                self.model.use_adapter(RANK)
        return [str(text).strip() for text in self.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)]

    def _unseen(self, history: np.ndarray) -> torch.Tensor:
        allowed = torch.ones(len(self.catalogue), dtype=torch.bool)
        allowed[torch.from_numpy(np.asarray(history, dtype=np.int64))] = False
        return allowed

    def _allowed(self, request: Request, history: np.ndarray) -> torch.Tensor:
        allowed = self._unseen(history)
        if request.only is not None:
            chosen = torch.zeros_like(allowed)
            chosen[torch.from_numpy(self.catalogue.indices(request.only))] = True
            allowed &= chosen
        allowed[torch.from_numpy(self.catalogue.indices(request.exclude))] = False
        most = int(allowed.sum())
        if request.k > most:
            raise RecommenderError(
                f"k is {request.k}, but only {most} of the catalogue's {len(self.catalogue)} items may be recommended",
                f"set k to {most} or less" if most else "allow more items",
            )
        return allowed

    def _fused(self, request: Request) -> bool:
        wanted = self.config.decoding.fused if request.fused is None else request.fused
        return wanted and (self.fusion is not None or request.fused is True)

    def _notes(self, request: Request) -> tuple[str, ...]:
        notes = []
        if self._fused(request) and self.fusion is not None:
            notes.append(f"ranked together with {' and '.join(self.fusion.rankers)}")
        if not request.history:
            notes.append("no history: these are what a new person is most likely to start with")
        if len(request.history) > self.config.prompt.history:
            notes.append(f"the history was cut to its last {self.config.prompt.history} items")
        return tuple(notes)

    def _ranked(self, rank: int, item: int, score: float, reason: Justification | None) -> RankedItem:
        entry = self.catalogue[item]
        if reason is None:
            return RankedItem(rank, entry.item_id, entry.title, score)
        evidence = _plain(reason, self.catalogue)
        return RankedItem(rank, entry.item_id, entry.title, score, reason.text, reason.source, evidence)


def _plain(reason: Justification, catalogue: Catalogue) -> dict[str, Any]:
    """Return evidence and checks as data that JSON can hold, with item ids instead of indices."""
    evidence = reason.evidence
    return {
        "influences": [
            {"item_id": catalogue[i.item].item_id, "title": catalogue[i.item].title, "effect": round(i.effect, 4)}
            for i in evidence.influences
        ],
        "shared": [
            {"name": f.name, "value": f.value, "items": [catalogue[i].item_id for i in f.items]}
            for f in evidence.shared
        ],
        "claims": [{"kind": c.kind, "text": c.text, "true": c.true} for c in reason.verdict.claims],
    }
