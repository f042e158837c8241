"""The route that ranks inside vLLM's server: beam search over the trie, each level one batch of one-token requests.

The engine shares a prompt's keys and values between its beams: whole blocks by its prefix cache, what lies behind them by
`tails`, so that a level costs its new tokens only.
"""

from __future__ import annotations

import asyncio
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
from vllm.inputs import TokensPrompt
from vllm.inputs.engine import mm_input
from vllm.multimodal.inputs import (
    MultiModalBatchedField,
    MultiModalFieldElem,
    MultiModalKwargsItem,
    MultiModalKwargsItems,
    PlaceholderRange,
)
from vllm.sampling_params import RequestOutputKind, SamplingParams

from recommender.vllm_plugin.served_folder import FACTS, REQUEST, Allowed, Served
from recommender.vllm_plugin.soft_tokens import SoftTokens, field

if TYPE_CHECKING:
    from vllm.engine.protocol import EngineClient

PATH = "/v1/recommender/rank"
LISTS = 64
"""Searches under way at once. Beams wait in vLLM in the order in which they come: with no bound every list would be finished
at the end only, and tails would have to be kept for all of them."""


class Prompt(BaseModel):
    """One prompt as token ids, soft tokens as numbers behind the vocabulary, and the item indices that may be shown.

    `vectors`: of items in the prompt, in the place of the catalogue's: index -> kind -> the encoder's vector.
    """

    model_config = ConfigDict(extra="forbid")
    ids: list[int] = Field(min_length=1)
    deny: list[int] = []
    only: list[int] | None = None
    vectors: dict[int, dict[str, list[float]]] = {}


class Ask(BaseModel):
    """Several prompts that are ranked together. `model`: the adapter; None: the base."""

    model_config = ConfigDict(extra="forbid")
    prompts: list[Prompt] = Field(min_length=1, max_length=4096)
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
        """Remember what the route needs."""
        state.recommender_engine = engine_client
        state.recommender_lists = asyncio.Semaphore(LISTS)
        # the server that writes has no trie, and no route
        state.recommender_served = state.recommender_soft = None
        if (Path(args.model) / FACTS).is_file():
            state.recommender_served = Served.load(args.model)
            state.recommender_soft = Slots.load(args.model, state.recommender_served)


async def rank(ask: Ask, http: Request) -> dict[str, Any]:
    """Return for each prompt its best items and their scores."""
    state = http.app.state
    served: Served | None = state.recommender_served
    if served is None:
        raise HTTPException(404, "this server writes; another one ranks")
    search = BeamSearch(state.recommender_engine, served, ask.beam, ask.k, _adapter(state, ask.model))
    try:
        starts = [_start(prompt, served, state.recommender_soft) for prompt in ask.prompts]
        found = await asyncio.gather(*(_in_turn(state.recommender_lists, search, start) for start in starts))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    return {"rankings": [{"items": items, "scores": scores} for items, scores in found]}


async def _in_turn(lists: asyncio.Semaphore, search: BeamSearch, start: Start) -> tuple[list[int], list[float]]:
    async with lists:
        return await search.run(start)


def _adapter(state: Any, name: str | None) -> Any:
    if name is None:
        return None
    adapters = state.openai_serving_models.lora_requests
    if name not in adapters:
        raise HTTPException(404, f"no adapter {name!r} is loaded")
    return adapters[name]


def _start(prompt: Prompt, served: Served, soft: Slots) -> Start:
    """Raises ValueError for a prompt that names what is not there."""
    extra = {"deny": prompt.deny, "only": prompt.only}
    Allowed.of(extra, served.trie.items)
    return Start(*soft.filled(prompt.ids, prompt.vectors), extra)


@dataclass(frozen=True)
class Start:
    """What all beams of a prompt begin with: its tokens, the vectors that belong into them, and what may be shown."""

    ids: list[int]
    soft: dict[str, Any] | None
    extra: dict[str, Any]

    def prompt(self, tokens: Sequence[int]) -> Any:
        """Return the prompt of a beam that has chosen `tokens`."""
        ids = [*self.ids, *tokens]
        return TokensPrompt(prompt_token_ids=ids) if self.soft is None else mm_input(ids, **self.soft)


class Slots:
    """Fills the slots of prompts with the vectors of the catalogue and of a request, in the form that vLLM takes."""

    def __init__(self, soft: SoftTokens, served: Served) -> None:
        """`soft`: the vectors of the catalogue."""
        self.soft, self.served = soft, served

    @classmethod
    def load(cls, folder: str, served: Served) -> Slots:
        """Open an exported folder."""
        return cls(SoftTokens.open(folder), served)

    def filled(
        self, ids: Sequence[int], vectors: Mapping[int, Mapping[str, Sequence[float]]]
    ) -> tuple[list[int], dict[str, Any] | None]:
        """Return a prompt's tokens with placeholders, and vLLM's description of what stands there.

        Raises ValueError for slots that are not whole and for vectors that fit none.
        """
        given = self.soft.checked(vectors, self.served.trie.items)
        tokens, places = self.soft.placed(ids, given, {item: self.served.item_token(item) for item in given})
        if not places:
            return tokens, None
        kinds = dict.fromkeys(place.kind for place in places)
        found: dict[str, Any] = {"mm_kwargs": {}, "mm_hashes": {}, "mm_placeholders": {}}
        for kind in kinds:
            of_kind = [place for place in places if place.kind == kind]
            length = self.soft.facts.slots(kind)
            found["mm_kwargs"][kind] = [_input(kind, place.vector) for place in of_kind]
            found["mm_hashes"][kind] = [place.name for place in of_kind]
            found["mm_placeholders"][kind] = [PlaceholderRange(place.offset, length) for place in of_kind]
        return tokens, found | {"mm_kwargs": MultiModalKwargsItems(found["mm_kwargs"])}


def _input(kind: str, vector: np.ndarray) -> MultiModalKwargsItem:
    data = torch.from_numpy(np.array(vector, np.float32))
    return MultiModalKwargsItem({field(kind): MultiModalFieldElem(data, MultiModalBatchedField())})


class BeamSearch:
    """Constrained beam search for one adapter and one width."""

    def __init__(self, engine: EngineClient, served: Served, beam: int, k: int, adapter: Any) -> None:
        """`engine`: vLLM's client of its engine process."""
        self.engine, self.served, self.adapter = engine, served, adapter
        self.width, self.k = max(beam, k), k
        # vLLM warns about each request that says such things to a server without a connector
        self.keeps_tails = served.levels > 1 and engine.vllm_config.kv_transfer_config is not None
        self._items = {tuple(codes): item for item, codes in enumerate(served.codes.tolist())}

    async def run(self, start: Start) -> tuple[list[int], list[float]]:
        """Return the best items of a prompt and their scores, best first."""
        extra = {REQUEST: start.extra}
        if self.keeps_tails:
            extra |= {"kv_transfer_params": {"search": uuid.uuid4().hex, "prompt": len(start.ids)}}
        beams: list[tuple[list[int], float]] = [([], 0.0)]
        for level in range(self.served.levels):
            last = level + 1 == self.served.levels
            steps = await asyncio.gather(*(self._step(start.prompt(tokens), extra) for tokens, _ in beams))
            grown = [
                ([*tokens, token], score + logp)
                for (tokens, score), step in zip(beams, steps, strict=True)
                for token, logp in step
            ]
            beams = sorted(grown, key=lambda beam: -beam[1])[: self.k if last else self.width]
        return [self._item(tokens) for tokens, _ in beams], [score for _, score in beams]

    def _item(self, tokens: Sequence[int]) -> int:
        return self._items[tuple(token - int(self.served.first[level]) for level, token in enumerate(tokens))]

    async def _step(self, prompt: Any, extra: dict[str, Any]) -> list[tuple[int, float]]:
        """Return what may follow: the best tokens and their log-probabilities."""
        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprobs=min(self.width, max(self.served.sizes)),
            detokenize=False,
            ignore_eos=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
            extra_args=extra,
        )
        name = f"rank-{uuid.uuid4().hex}"
        final = None
        async for output in self.engine.generate(prompt, params, name, lora_request=self.adapter):
            final = output
        found = final.outputs[0].logprobs[0] if final is not None else {}
        return [(token, entry.logprob) for token, entry in found.items() if entry.logprob > float("-inf")]
