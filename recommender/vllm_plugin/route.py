"""The route that ranks inside vLLM's server: beam search over the trie, each level one batch of one-token requests.

The engine shares a prompt's keys and values between its beams (prefix cache), so that a level costs its new tokens only.
"""

from __future__ import annotations

import asyncio
import uuid
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from vllm.inputs import TokensPrompt
from vllm.sampling_params import RequestOutputKind, SamplingParams

from recommender.vllm_plugin.served import FACTS, REQUEST, Allowed, Served

if TYPE_CHECKING:
    from vllm.engine.protocol import EngineClient

PATH = "/v1/recommender/rank"


class Prompt(BaseModel):
    """One prompt as token ids of the served vocabulary, and the item indices that may be shown."""

    model_config = ConfigDict(extra="forbid")
    ids: list[int] = Field(min_length=1)
    deny: list[int] = []
    only: list[int] | None = None


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
        # the server that writes has no trie, and no route
        state.recommender_served = Served.load(args.model) if (Path(args.model) / FACTS).is_file() else None


async def rank(ask: Ask, http: Request) -> dict[str, Any]:
    """Return for each prompt its best items and their scores."""
    state = http.app.state
    served: Served | None = state.recommender_served
    if served is None:
        raise HTTPException(404, "this server writes; another one ranks")
    search = BeamSearch(state.recommender_engine, served, ask.beam, ask.k, _adapter(state, ask.model))
    try:
        for prompt in ask.prompts:
            Allowed.of({"deny": prompt.deny, "only": prompt.only}, served.trie.items)
        found = await asyncio.gather(*(search.run(prompt) for prompt in ask.prompts))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    return {"rankings": [{"items": items, "scores": scores} for items, scores in found]}


def _adapter(state: Any, name: str | None) -> Any:
    if name is None:
        return None
    adapters = state.openai_serving_models.lora_requests
    if name not in adapters:
        raise HTTPException(404, f"no adapter {name!r} is loaded")
    return adapters[name]


class BeamSearch:
    """Constrained beam search for one adapter and one width."""

    def __init__(self, engine: EngineClient, served: Served, beam: int, k: int, adapter: Any) -> None:
        """`engine`: vLLM's client of its engine process."""
        self.engine, self.served, self.adapter = engine, served, adapter
        self.width, self.k = max(beam, k), k
        self._items = {tuple(codes): item for item, codes in enumerate(served.codes.tolist())}

    async def run(self, prompt: Prompt) -> tuple[list[int], list[float]]:
        """Return the best items of a prompt and their scores, best first."""
        beams: list[tuple[list[int], float]] = [([], 0.0)]
        extra = {"deny": prompt.deny, "only": prompt.only}
        for level in range(self.served.levels):
            last = level + 1 == self.served.levels
            steps = await asyncio.gather(*(self._step([*prompt.ids, *tokens], extra) for tokens, _ in beams))
            grown = [
                ([*tokens, token], score + logp)
                for (tokens, score), step in zip(beams, steps, strict=True)
                for token, logp in step
            ]
            beams = sorted(grown, key=lambda beam: -beam[1])[: self.k if last else self.width]
        return [self._item(tokens) for tokens, _ in beams], [score for _, score in beams]

    def _item(self, tokens: Sequence[int]) -> int:
        return self._items[tuple(token - int(self.served.first[level]) for level, token in enumerate(tokens))]

    async def _step(self, ids: list[int], extra: dict[str, Any]) -> list[tuple[int, float]]:
        """Return what may follow: the best tokens and their log-probabilities."""
        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprobs=min(self.width, max(self.served.sizes)),
            detokenize=False,
            ignore_eos=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
            extra_args={REQUEST: extra},
        )
        name = f"rank-{uuid.uuid4().hex}"
        final = None
        async for output in self.engine.generate(
            TokensPrompt(prompt_token_ids=ids), params, name, lora_request=self.adapter
        ):
            final = output
        found = final.outputs[0].logprobs[0] if final is not None else {}
        return [(token, entry.logprob) for token, entry in found.items() if entry.logprob > float("-inf")]
