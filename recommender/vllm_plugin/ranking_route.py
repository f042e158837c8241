"""The route that ranks inside vLLM's server: beam search over the trie, each level one batch of one-token requests.

The beams of a prompt share its keys and values: whole blocks through vLLM's prefix cache, the rest through
`partial_block_connector`, so that a level costs its new tokens only.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from vllm.inputs.engine import mm_input, tokens_input
from vllm.multimodal.inputs import (
    MultiModalBatchedField,
    MultiModalFieldElem,
    MultiModalKwargsItem,
    MultiModalKwargsItems,
    PlaceholderRange,
)
from vllm.sampling_params import RequestOutputKind, SamplingParams

from recommender.vllm_plugin.served_folder import EXTRA_ARGS_KEY, FACTS_FILE, MEMORY_KEY, Allowed, Served
from recommender.vllm_plugin.soft_projectors import item_changes, load_projectors
from recommender.vllm_plugin.soft_tokens import Overrides, SoftTokenPlace, SoftTokens, input_name

if TYPE_CHECKING:
    from vllm.engine.protocol import EngineClient

PATH = "/v1/recommender/rank"
CONCURRENT_SEARCHES = 64
"""Searches under way at once. vLLM serves beams in the order in which they come: without a bound every search would finish
at the very end, and the partial blocks of all of them would have to be saved."""

Ranking = tuple[list[int], list[float]]
"""Item indices and their scores, best first."""


class RankPrompt(BaseModel):
    """One prompt as token ids, with soft tokens as numbers behind the vocabulary, and the item indices that may be shown.

    `bits`: instead of long lists, which items may be shown, a bit each, the first one the highest of its byte, in base64.
    `vectors`: encoder vectors that stand for the catalogue's in this prompt: item index -> kind -> vector.
    """

    model_config = ConfigDict(extra="forbid")
    ids: list[int] = Field(min_length=1)
    deny: list[int] = []
    only: list[int] | None = None
    bits: str | None = None
    vectors: dict[int, dict[str, list[float]]] = {}


class RankBody(BaseModel):
    """Several prompts that are ranked together. `model`: the adapter, or None for the base model."""

    model_config = ConfigDict(extra="forbid")
    prompts: list[RankPrompt] = Field(min_length=1, max_length=4096)
    k: int = Field(10, ge=1)
    beam: int = Field(50, ge=1)
    model: str | None = None


class RankingRoute:
    """Adds the route to vLLM's server (entry point `vllm.endpoint_plugins`)."""

    name = "recommender"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        """Register the route."""
        app.add_api_route(PATH, rank, methods=["POST"])

    async def init_state(self, engine_client: EngineClient | None, state: Any, args: Namespace) -> None:
        """Store what the route needs in the state of vLLM's application."""
        state.recommender_engine = engine_client
        state.recommender_searches = asyncio.Semaphore(CONCURRENT_SEARCHES)
        # the server that writes justifications has no trie, and does not rank
        state.recommender_served = state.recommender_inputs = None
        if (Path(args.model) / FACTS_FILE).is_file():
            state.recommender_served = Served.load(args.model)
            state.recommender_inputs = SoftTokenInputs.load(args.model, state.recommender_served)


async def rank(body: RankBody, http: Request) -> dict[str, Any]:
    """Return the best items of each prompt and their scores. Raises HTTPException 400 for wrong prompts, 404 for an adapter
    that is not loaded."""
    state = http.app.state
    served: Served | None = state.recommender_served
    if served is None:
        raise HTTPException(404, "this server writes; another one ranks")
    search = BeamSearch(state.recommender_engine, served, body.beam, body.k, _adapter(state, body.model))
    try:
        prompts = [_beam_prompt(prompt, served, state.recommender_inputs) for prompt in body.prompts]
        searches = (_search_in_turn(state.recommender_searches, search, prompt) for prompt in prompts)
        rankings = await asyncio.gather(*searches)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    return {"rankings": [{"items": items, "scores": scores} for items, scores in rankings]}


async def _search_in_turn(searches: asyncio.Semaphore, search: BeamSearch, prompt: BeamPrompt) -> Ranking:
    async with searches:
        return await search.run(prompt)


def _adapter(state: Any, name: str | None) -> Any:
    if name is None:
        return None
    adapters = state.openai_serving_models.lora_requests
    if name not in adapters:
        raise HTTPException(404, f"no adapter {name!r} is loaded")
    return adapters[name]


def _beam_prompt(prompt: RankPrompt, served: Served, inputs: SoftTokenInputs) -> BeamPrompt:
    """Raises ValueError for items, soft tokens and vectors that do not exist."""
    items = served.trie.items
    entry: dict[str, Any] = {"deny": prompt.deny, "only": prompt.only}
    if prompt.bits is not None:
        if prompt.deny or prompt.only is not None:
            raise ValueError("bits: say it all, so that neither deny nor only may stand beside them")
        entry = {"bits": base64.b64decode(prompt.bits, validate=True)}
    allowed = Allowed.of(entry, items).entry(items)
    return BeamPrompt(*inputs.of(prompt.ids, prompt.vectors), allowed, inputs.remembered(prompt.ids, prompt.vectors))


@dataclass(frozen=True)
class BeamPrompt:
    """What all beams of a search begin with: token ids, vLLM's description of the soft tokens, and what may be shown.

    `remembered`: see `MEMORY_KEY`.
    """

    ids: list[int]
    soft_inputs: dict[str, Any] | None
    allowed: dict[str, Any]
    remembered: bytes | None = None

    @property
    def extra_args(self) -> dict[str, Any]:
        """Return what the trie processor reads of each request of the search."""
        args: dict[str, Any] = {EXTRA_ARGS_KEY: self.allowed}
        return args if self.remembered is None else args | {MEMORY_KEY: self.remembered}

    def followed_by(self, tokens: Sequence[int]) -> Any:
        """Return vLLM's prompt for a beam that has chosen `tokens`."""
        ids = [*self.ids, *tokens]
        return tokens_input(ids) if self.soft_inputs is None else mm_input(ids, **self.soft_inputs)


class SoftTokenInputs:
    """Describes the soft tokens of prompts in the form that vLLM takes, with vectors of the catalogue or of a request."""

    def __init__(self, soft_tokens: SoftTokens, served: Served, projectors: nn.ModuleDict | None = None) -> None:
        """`soft_tokens`: with the vectors of the catalogue; `projectors`: where the model has a memory."""
        self.soft_tokens, self.served, self.projectors = soft_tokens, served, projectors

    @classmethod
    def load(cls, folder: str, served: Served) -> SoftTokenInputs:
        """Open an exported folder."""
        soft_tokens = SoftTokens.open(folder)
        if served.memory is None or not soft_tokens.facts.soft:
            return cls(soft_tokens, served)
        return cls(soft_tokens, served, load_projectors(folder, soft_tokens.facts)[0])

    def of(
        self, ids: Sequence[int], vectors: Mapping[int, Mapping[str, Sequence[float]]]
    ) -> tuple[list[int], dict[str, Any] | None]:
        """Return a prompt's token ids with placeholders, and vLLM's description of what they stand for, if there are any.

        Raises ValueError for incomplete soft tokens and for vectors that do not fit.
        """
        overrides = self.soft_tokens.checked(vectors, self.served.trie.items)
        item_tokens = {item: self.served.item_token(item) for item in overrides}
        tokens, places = self.soft_tokens.with_placeholders(ids, overrides, item_tokens)
        return tokens, self._description(places) if places else None

    @torch.no_grad()
    def remembered(self, ids: Sequence[int], vectors: Mapping[int, Mapping[str, Sequence[float]]]) -> bytes | None:
        """Return what a prompt's own vectors change in what the memory reads, None if there is nothing to change.

        The memory stands beside the layers, in the logits processor, which knows token ids only. Raises ValueError for
        vectors that do not fit.
        """
        memory = self.served.memory
        overrides: Overrides = self.soft_tokens.checked(vectors, self.served.trie.items)
        if memory is None or self.projectors is None or not overrides:
            return None
        pairs = torch.from_numpy(np.stack([self.soft_tokens.pair(item, own) for item, own in overrides.items()]))
        changes = item_changes(self.projectors, self.soft_tokens.facts, pairs)
        codes = [int(self.served.codes[item, 0]) for item in overrides]
        change = memory.change(self.served.history_codes(ids), dict(zip(codes, changes, strict=True)))
        return change.numpy().tobytes()

    def _description(self, places: Sequence[SoftTokenPlace]) -> dict[str, Any]:
        by_kind: dict[str, list[SoftTokenPlace]] = {}
        for place in places:
            by_kind.setdefault(place.kind, []).append(place)
        length = self.soft_tokens.facts.slots
        inputs = {kind: [_input(kind, place.vector) for place in group] for kind, group in by_kind.items()}
        return {
            "mm_kwargs": MultiModalKwargsItems(inputs),
            "mm_hashes": {kind: [place.name for place in group] for kind, group in by_kind.items()},
            "mm_placeholders": {
                kind: [PlaceholderRange(place.offset, length(kind)) for place in group]
                for kind, group in by_kind.items()
            },
        }


def _input(kind: str, vector: np.ndarray) -> MultiModalKwargsItem:
    data = torch.from_numpy(np.array(vector, np.float32))
    return MultiModalKwargsItem({input_name(kind): MultiModalFieldElem(data, MultiModalBatchedField())})


class BeamSearch:
    """Constrained beam search for one adapter and one width."""

    def __init__(self, engine: EngineClient, served: Served, beam: int, k: int, adapter: Any) -> None:
        """`engine`: vLLM's client of its engine process; `beam`: width, at least `k`."""
        self.engine, self.served, self.adapter = engine, served, adapter
        self.width, self.k = max(beam, k), k
        # vLLM warns about each request that has `kv_transfer_params` where there is no connector
        self.shares_partial_block = served.levels > 1 and engine.vllm_config.kv_transfer_config is not None

    async def run(self, prompt: BeamPrompt) -> Ranking:
        """Return the best items of a prompt and their scores, best first; vLLM is not asked if nothing may be shown.

        A beam that nothing may follow ends, since only tokens above -inf go on.
        """
        if Allowed.of(prompt.allowed, self.served.trie.items).none_of(self.served.trie.items):
            return [], []
        extra_args = prompt.extra_args
        if self.shares_partial_block:
            extra_args["kv_transfer_params"] = {"search": uuid.uuid4().hex, "prompt": len(prompt.ids)}
        beams: list[tuple[list[int], float]] = [([], 0.0)]
        for level in range(self.served.levels):
            is_last = level + 1 == self.served.levels
            steps = await asyncio.gather(
                *(self._next_tokens(prompt.followed_by(tokens), extra_args) for tokens, _ in beams)
            )
            extended = [
                ([*tokens, token], score + log_prob)
                for (tokens, score), step in zip(beams, steps, strict=True)
                for token, log_prob in step
            ]
            beams = sorted(extended, key=lambda beam: -beam[1])[: self.k if is_last else self.width]
        return self.served.items_of([tokens for tokens, _ in beams]), [score for _, score in beams]

    async def _next_tokens(self, prompt: Any, extra_args: dict[str, Any]) -> list[tuple[int, float]]:
        """Return the best next tokens and their log-probabilities."""
        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprobs=min(self.width, max(self.served.sizes)),
            detokenize=False,
            ignore_eos=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
            extra_args=extra_args,
        )
        final = None
        request_id = f"rank-{uuid.uuid4().hex}"
        async for output in self.engine.generate(prompt, params, request_id, lora_request=self.adapter):
            final = output
        logprobs = final.outputs[0].logprobs[0] if final is not None else {}
        return [(token, entry.logprob) for token, entry in logprobs.items() if entry.logprob > float("-inf")]
