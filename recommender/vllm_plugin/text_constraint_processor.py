"""Text constraints as vLLM's logits processor, for both of its interfaces. Named at start-up, as the trie's is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import LogitsProcessor as LogitsProcessorV1
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as LogitsProcessorV2

from recommender.adapters.vouching import check_served
from recommender.constraints.text_constraint import TEXT_CONSTRAINT, TextConstraint, TokenPieces

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams


def _constraint_of(params: SamplingParams) -> TextConstraint | None:
    entry = (params.extra_args or {}).get(TEXT_CONSTRAINT)
    return None if entry is None else TextConstraint.from_json(entry)


class TextConstraintProcessor(LogitsProcessorV1, LogitsProcessorV2):
    """Restricts quoted spans of a request's text to given names. One class for both runners: see `TrieProcessor`."""

    def __init__(self, vllm_config: VllmConfig, *runner: Any) -> None:
        """Read the tokenizer of the served folder. `runner`: device and pinning from V1, its request states from V2.

        Raises CheckpointError if a key is trusted, and did not sign the folder.
        """
        check_served(vllm_config.model_config.model)
        self.pieces = TokenPieces(AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer))
        self.req_states = runner[0]
        self.rows: dict[int, tuple[TextConstraint, list[int]]] = {}
        self.slots: dict[int, TextConstraint] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for a wrong entry in `extra_args`."""
        _constraint_of(sampling_params)

    def is_argmax_invariant(self) -> bool:
        """A constraint can change which token is most likely."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: follow requests that joined the batch, left it or moved in it."""
        process_dict_updates(self.rows, batch_update, self._new)

    def _new(
        self, params: SamplingParams, prompt: list[int] | None, output: list[int]
    ) -> tuple[TextConstraint, list[int]] | None:
        constraint = _constraint_of(params)
        return None if constraint is None else (constraint, output)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: assign a slot to a request; returns whether it is constrained."""
        constraint = _constraint_of(sampling_params)
        self.slots.pop(req_idx, None)
        if constraint is not None:
            self.slots[req_idx] = constraint
        return constraint is not None

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Constrain the rows [vocabulary] of constrained requests. `ctx`: V2's; V1 has none."""
        for row, (constraint, output) in self.rows.items():
            constraint.constrain(logits[row], output, self.pieces)
        for row, slot in enumerate(() if ctx is None else ctx.expanded_idx_mapping.tolist()):
            if slot in self.slots:
                begin, end = int(self.req_states.prompt_len.np[slot]), int(ctx.pos[row]) + 1
                tokens = self.req_states.all_token_ids.gpu[slot, begin:end].tolist()
                self.slots[slot].constrain(logits[row], tokens, self.pieces)
        return logits
