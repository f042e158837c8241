"""The trie as vLLM's logits processor, for both of its interfaces. Named at start-up: `--logits-processors MODULE:CLASS`.

Served with `--logprobs-mode processed_logits`, the log-probabilities that a request returns are the scores themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor as LogitsProcessorV1
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as LogitsProcessorV2

from recommender.vllm_plugin.served_folder import REQUEST, Allowed, Served

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams

_Row = tuple[Allowed, Sequence[int], Sequence[int]]


def _asked(params: SamplingParams) -> Any:
    return (params.extra_args or {}).get(REQUEST)


def _check(params: SamplingParams) -> None:
    if (extra := _asked(params)) is not None:
        Allowed.of(extra, 1 << 62)


class TrieProcessor(LogitsProcessorV1, LogitsProcessorV2):
    """One class for both runners, since who starts a server cannot know which one vLLM will choose.

    V1 (a CPU's) keeps state by place in the batch and hands over token lists; V2 (a GPU's) by request slot, with the tokens
    in the runner's own buffers.
    """

    def __init__(self, vllm_config: VllmConfig, *runner: Any) -> None:
        """Read the trie of the served folder. `runner`: device and pinning from V1, its request states from V2."""
        self.served = Served.load(vllm_config.model_config.model)
        self.req_states = runner[0]
        self.rows: dict[int, _Row] = {}
        self.slots: dict[int, Allowed] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for an entry that is none of ours."""
        _check(sampling_params)

    def is_argmax_invariant(self) -> bool:
        """The trie decides what may come first."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: follow requests that came, went or moved."""
        process_dict_updates(self.rows, batch_update, self._new)

    def _new(self, params: SamplingParams, prompt: list[int] | None, output: list[int]) -> _Row | None:
        extra = _asked(params)
        return None if extra is None else (Allowed.of(extra, self.served.trie.items), prompt or [], output)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: take a slot over; returns whether this request is constrained."""
        extra = _asked(sampling_params)
        self.slots.pop(req_idx, None)
        if extra is not None:
            self.slots[req_idx] = Allowed.of(extra, self.served.trie.items)
        return extra is not None

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Constrain the rows of requests that asked for it; only V2 has a context."""
        for row, (allowed, prompt, output) in self.rows.items():
            self.served.constrain(logits[row], [*prompt[-self.served.levels :], *output], allowed)
        for row, slot in enumerate(() if ctx is None else ctx.expanded_idx_mapping.tolist()):
            if slot in self.slots:
                end = int(ctx.pos[row]) + 1
                tokens = self.req_states.all_token_ids.gpu[slot, max(end - self.served.levels, 0) : end].tolist()
                self.served.constrain(logits[row], tokens, self.slots[slot])
        return logits


class WholeBatch(LogitsProcessorV1):
    """For vLLM's own beam search, which drops a request's `extra_args`: every row is scored, all of them in one way.

    `free`: log-probabilities over the vocabulary; otherwise those over the level's codes, at what the trie lets follow.
    """

    free = False

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        """Read the trie of the served folder."""
        self.served = Served.load(vllm_config.model_config.model)
        self.rows: dict[int, _Row] = {}

    def is_argmax_invariant(self) -> bool:
        """The trie decides what may come first."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow requests that came, went or moved."""
        process_dict_updates(self.rows, batch_update, lambda _, prompt, output: (Allowed(), prompt or [], output))

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Score all rows."""
        if WholeBatch.free:
            return torch.log_softmax(logits, -1, out=logits)
        for row, (allowed, prompt, output) in self.rows.items():
            self.served.constrain(logits[row], [*prompt[-self.served.levels :], *output], allowed)
        return logits
