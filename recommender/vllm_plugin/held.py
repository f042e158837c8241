"""Held spans as logits processors of vLLM, for both of its interfaces. Named at start-up as the trie is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import LogitsProcessor as LogitsProcessorV1
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as LogitsProcessorV2

from recommender.vllm_plugin.spans import SPANS, Held, Pieces

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams


def _held(params: SamplingParams) -> Held | None:
    said = (params.extra_args or {}).get(SPANS)
    return None if said is None else Held.of(said)


def _pieces(vllm_config: VllmConfig) -> Pieces:
    return Pieces(AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer))


class SpansV1(LogitsProcessorV1):
    """For the V1 runner: spans of what has been generated are held to names."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        """Read the tokens of the served folder."""
        self.pieces = _pieces(vllm_config)
        self.rows: dict[int, tuple[Held, list[int]]] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for an entry that is none of ours."""
        _held(sampling_params)

    def is_argmax_invariant(self) -> bool:
        """Names decide what may come first."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow requests that came, went or moved."""
        process_dict_updates(self.rows, batch_update, self._new)

    def _new(
        self, params: SamplingParams, prompt: list[int] | None, output: list[int]
    ) -> tuple[Held, list[int]] | None:
        held = _held(params)
        return None if held is None else (held, output)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Constrain the rows of requests that asked for it."""
        for row, (held, output) in self.rows.items():
            held.constrain(logits[row], output, self.pieces)
        return logits


class SpansV2(LogitsProcessorV2):
    """For the V2 runner: what has been generated lies in the runner's own buffers."""

    def __init__(self, vllm_config: VllmConfig, req_states: Any) -> None:
        """Read the tokens of the served folder."""
        self.pieces, self.req_states = _pieces(vllm_config), req_states
        self.slots: dict[int, Held] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for an entry that is none of ours."""
        _held(sampling_params)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Take a slot over; returns whether this request is held to anything."""
        held = _held(sampling_params)
        self.slots.pop(req_idx, None)
        if held is not None:
            self.slots[req_idx] = held
        return held is not None

    def apply(self, logits: torch.Tensor, ctx: Any) -> torch.Tensor:
        """Constrain the rows of requests that asked for it."""
        for row, slot in enumerate(ctx.expanded_idx_mapping.tolist()):
            if slot in self.slots:
                begin, end = int(self.req_states.prompt_len.np[slot]), int(ctx.pos[row]) + 1
                tokens = self.req_states.all_token_ids.gpu[slot, begin:end].tolist()
                self.slots[slot].constrain(logits[row], tokens, self.pieces)
        return logits
