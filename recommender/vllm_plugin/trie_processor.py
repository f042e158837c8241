"""The trie as vLLM's logits processor, for both of its interfaces. Named at start-up: `--logits-processors MODULE:CLASS`.

Served with `--logprobs-mode processed_logits`, the log-probabilities that a request returns are the scores themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor as LogitsProcessorV1
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as LogitsProcessorV2

from recommender.adapters.vouching import check_served
from recommender.vllm_plugin.served_folder import EXTRA_ARGS_KEY, MEMORY_KEY, Allowed, Served

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams


@dataclass(frozen=True)
class _Rules:
    """What a request may be shown, and what its own vectors change in the memory [hidden], if they do."""

    allowed: Allowed
    change: torch.Tensor | None = None

    @classmethod
    def of(cls, params: SamplingParams, served: Served) -> _Rules | None:
        """Read a request; None for one that is not constrained. Raises ValueError for wrong entries."""
        if (entry := _entry_of(params, EXTRA_ARGS_KEY)) is None:
            return None
        changed = _entry_of(params, MEMORY_KEY)
        change = None if served.memory is None or changed is None else served.memory.change_of(changed)
        return cls(Allowed.of(entry, served.trie.items), change)


_Row = tuple[_Rules, Sequence[int], Sequence[int]]
"""The rules of a request, its prompt, and its output so far."""


def _entry_of(params: SamplingParams, name: str) -> Any:
    return (params.extra_args or {}).get(name)


class TrieProcessor(LogitsProcessorV1, LogitsProcessorV2):
    """Constrains requests to the trie.

    One class for both runners, since who starts a server cannot know which one vLLM chooses. V1 (on a CPU) keeps state by
    row of the batch and hands over token lists; V2 (on a GPU) keeps it by request slot, with the tokens in the runner's own
    buffers.
    """

    def __init__(self, vllm_config: VllmConfig, *runner: Any) -> None:
        """Read the trie of the served folder. `runner`: device and pinning from V1, its request states from V2.

        Raises CheckpointError if a key is trusted, and did not sign the folder.
        """
        check_served(vllm_config.model_config.model)
        self.served = Served.load(vllm_config.model_config.model)
        self.req_states = runner[0]
        self.rows: dict[int, _Row] = {}
        self.slots: dict[int, _Rules] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for a wrong entry in `extra_args`; how many items there are is not known here."""
        if (entry := _entry_of(sampling_params, EXTRA_ARGS_KEY)) is not None:
            Allowed.of(entry, None)
        if not isinstance(_entry_of(sampling_params, MEMORY_KEY), bytes | None):
            raise ValueError(f"{MEMORY_KEY}: expected bytes")

    def is_argmax_invariant(self) -> bool:
        """The trie can change which token is most likely."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: follow requests that joined the batch, left it or moved in it."""
        process_dict_updates(self.rows, batch_update, self._new)

    def _new(self, params: SamplingParams, prompt: list[int] | None, output: list[int]) -> _Row | None:
        rules = _Rules.of(params, self.served)
        return None if rules is None else (rules, prompt or [], output)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: assign a slot to a request; returns whether it is constrained."""
        rules = _Rules.of(sampling_params, self.served)
        self.slots.pop(req_idx, None)
        if rules is not None:
            self.slots[req_idx] = rules
        return rules is not None

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Constrain the rows [vocabulary] of constrained requests. `ctx`: V2's; V1 has none."""
        for row, (rules, prompt, output) in self.rows.items():
            self.served.constrain(logits[row], [*prompt[self.served.needed], *output], rules.allowed, rules.change)
        for row, slot in enumerate(() if ctx is None else ctx.expanded_idx_mapping.tolist()):
            if slot in self.slots:
                end = int(ctx.pos[row]) + 1
                tokens = self.req_states.all_token_ids.gpu[slot, :end][self.served.needed].tolist()
                self.served.constrain(logits[row], tokens, self.slots[slot].allowed, self.slots[slot].change)
        return logits


class WholeBatch(LogitsProcessorV1):
    """Scores every row of a batch in the same way: for vLLM's own beam search, which drops a request's `extra_args`.

    `free`: log-probabilities over the vocabulary; otherwise over the level's codes, where the trie goes on.
    """

    free = False

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        """Read the trie of the served folder."""
        self.served = Served.load(vllm_config.model_config.model)
        self.rows: dict[int, _Row] = {}

    def is_argmax_invariant(self) -> bool:
        """The trie can change which token is most likely."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow requests that joined the batch, left it or moved in it."""
        rules = _Rules(Allowed())
        process_dict_updates(self.rows, batch_update, lambda _, prompt, output: (rules, prompt or [], output))

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Score all rows [vocabulary]."""
        if WholeBatch.free:
            return torch.log_softmax(logits, -1, out=logits)
        for row, (rules, prompt, output) in self.rows.items():
            self.served.constrain(logits[row], [*prompt[self.served.needed], *output], rules.allowed)
        return logits
