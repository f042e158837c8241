"""Shares the keys and values of a prompt's last, partly filled block between the beams of a search.

vLLM's prefix cache knows whole blocks only. Each beam is a request of its own, so it would compute again what lies behind
the prompt's last whole block, up to a block less one position: with fifty beams many times the prompt itself. This is a
connector of vLLM's (`--kv-transfer-config`), the interface through which keys and values come from elsewhere; here they come
from the first request of the same search. Where a block is gone (too many searches since, another replica) its beams are
computed as without a connector.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1, KVConnectorMetadata, KVConnectorRole

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.forward_context import ForwardContext
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.request import Request

SAVED_SEARCHES = 256
"""Searches whose block is saved: more than a route has under way (`ranking_route.CONCURRENT_SEARCHES`), since a server may
have several routes."""


@dataclass(frozen=True)
class SearchPrompt:
    """A request's `kv_transfer_params`: the search that it belongs to, and the length of that search's prompt."""

    search: str
    length: int

    @classmethod
    def of(cls, request: Request) -> SearchPrompt | None:
        """Read a request; None if it belongs to no search."""
        params = request.kv_transfer_params or {}
        return cls(params["search"], params["prompt"]) if set(params) == {"search", "prompt"} else None


@dataclass(frozen=True)
class BlockPlace:
    """The number of a cache block that begins with the end of a search's prompt."""

    search: str
    block: int


@dataclass
class CopyPlan(KVConnectorMetadata):
    """What workers copy in a step: `loads` into blocks before it, `saves` out of blocks after it. `dropped`: searches whose
    copies are freed."""

    loads: list[BlockPlace] = field(default_factory=list)
    saves: list[BlockPlace] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


class PartialBlockConnector(KVConnectorBase_V1):
    """One class for vLLM's scheduler, which plans, and for its workers, which copy; each makes an instance of its own."""

    def __init__(self, vllm_config: VllmConfig, role: KVConnectorRole, kv_cache_config: KVCacheConfig) -> None:
        """Begin with no saved block."""
        super().__init__(vllm_config, role, kv_cache_config)
        self.block_size = int(vllm_config.cache_config.block_size)
        self.saved_searches: OrderedDict[str, None] = OrderedDict()
        self.to_load: dict[str, SearchPrompt] = {}
        self.to_save: dict[str, SearchPrompt] = {}
        self.caches: list[Tensor] = []
        self.saved_blocks: dict[str, list[Tensor]] = {}

    @property
    def requires_kv_delivery(self) -> bool:
        """No: without a saved block a beam is only slower."""
        return False

    # in the scheduler

    def get_num_new_matched_tokens(self, request: Request, num_computed_tokens: int) -> tuple[int, bool]:
        """Return how many positions behind the whole blocks that vLLM has in its cache can be copied, and False: at once."""
        prompt = SearchPrompt.of(request)
        if prompt is None or prompt.search not in self.saved_searches or request.num_tokens <= prompt.length:
            return 0, False
        missing = prompt.length - num_computed_tokens
        # more than a block is missing if vLLM has given the whole blocks to other requests since
        return (missing, False) if 0 < missing < self.block_size else (0, False)

    def update_state_after_alloc(self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int) -> None:
        """Remember a request whose block will be loaded or saved."""
        prompt = SearchPrompt.of(request)
        if prompt is None:
            return
        if num_external_tokens:
            self.to_load[request.request_id] = prompt
        elif request.num_tokens == prompt.length and prompt.length % self.block_size:
            self.to_save[request.request_id] = prompt

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> CopyPlan:
        """Return what is copied in this step."""
        plan, cached = CopyPlan(), scheduler_output.scheduled_cached_reqs
        computed_tokens = {new.req_id: new.num_computed_tokens for new in scheduler_output.scheduled_new_reqs}
        computed_tokens |= dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        for request_id, computed in computed_tokens.items():
            if prompt := self.to_load.pop(request_id, None):
                plan.loads.append(self._place(scheduler_output, request_id, prompt))
            prompt = self.to_save.get(request_id)
            # a long prompt takes several steps
            if prompt and computed + scheduler_output.num_scheduled_tokens[request_id] >= prompt.length:
                plan.saves.append(self._place(scheduler_output, request_id, self.to_save.pop(request_id)))
                self.saved_searches[prompt.search] = None
        while len(self.saved_searches) > SAVED_SEARCHES:
            plan.dropped.append(self.saved_searches.popitem(last=False)[0])
        return plan

    def _place(self, scheduler_output: SchedulerOutput, request_id: str, prompt: SearchPrompt) -> BlockPlace:
        state = scheduler_output.kv_connector_block_state
        blocks = state.get_block_ids(request_id) if state else None
        assert blocks, request_id
        return BlockPlace(prompt.search, blocks[0][prompt.length // self.block_size])

    def request_finished(self, request: Request, block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        """Forget a request, which may have been cancelled before it was computed. Its blocks can be freed."""
        self.to_load.pop(request.request_id, None)
        self.to_save.pop(request.request_id, None)
        return False, None

    # in the workers

    def register_kv_caches(self, kv_caches: dict[str, Tensor]) -> None:
        """Take each layer's keys and values [blocks, ...].

        Blocks are copied whole, since the order within one is up to the kernels: on a CPU all keys of a head, then its
        values.
        """
        self.caches = list(kv_caches.values())

    def _plan(self) -> CopyPlan:
        plan = self._get_connector_metadata()
        assert isinstance(plan, CopyPlan)
        return plan

    def start_load_kv(self, forward_context: ForwardContext, **kwargs: Any) -> None:
        """Copy saved blocks into the blocks of beams."""
        blocks: dict[str, list[int]] = {}
        for place in self._plan().loads:
            blocks.setdefault(place.search, []).append(place.block)
        for search, numbers in blocks.items():
            for cache, saved in zip(self.caches, self.saved_blocks[search], strict=True):
                cache[numbers] = saved

    def wait_for_save(self) -> None:
        """Save the last blocks of the prompts that this step has computed, and free dropped ones."""
        plan = self._plan()
        for place in plan.saves:
            self.saved_blocks[place.search] = [cache[place.block].clone() for cache in self.caches]
        for search in plan.dropped:
            self.saved_blocks.pop(search, None)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Nothing to wait for: blocks are loaded before the first layer."""

    def save_kv_layer(self, layer_name: str, kv_layer: Tensor, attn_metadata: Any, **kwargs: Any) -> None:
        """Nothing to do: blocks are saved when all layers are computed."""
