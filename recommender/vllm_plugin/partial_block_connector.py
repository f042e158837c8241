"""The keys and values of a prompt's last, unfinished block: computed once, and copied to each beam that goes on from there.

vLLM's prefix cache knows whole blocks only. A beam is a request of its own, so each of them would compute again what lies
behind the last whole block, up to a block less one position: with fifty beams many times the prompt itself. This is a
connector of vLLM's (`--kv-transfer-config`), the interface by which keys and values come from elsewhere; here they come from
the first request of the same search. Where one is gone (too many searches since, another replica) its beams are computed
as without it.
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

KEPT = 256
"""Searches whose tails are kept: more than a route has under way (`route.LISTS`), for a server may have several of them."""


@dataclass(frozen=True)
class Tail:
    """What a request says in its `kv_transfer_params`: the search it belongs to, and the length of that search's prompt."""

    search: str
    prompt: int

    @classmethod
    def of(cls, request: Request) -> Tail | None:
        """Read a request; None if it belongs to no search."""
        said = request.kv_transfer_params or {}
        return cls(said["search"], said["prompt"]) if set(said) == {"search", "prompt"} else None


@dataclass(frozen=True)
class BlockPlace:
    """A block that begins with the tail of a search."""

    search: str
    block: int


@dataclass
class CopyPlan(KVConnectorMetadata):
    """What workers copy in a step: `loads` into blocks before it, `saves` out of them and `gone` behind it."""

    loads: list[BlockPlace] = field(default_factory=list)
    saves: list[BlockPlace] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class PartialBlockConnector(KVConnectorBase_V1):
    """One class for vLLM's scheduler, which plans, and for its workers, which copy; each makes an instance of its own."""

    def __init__(self, vllm_config: VllmConfig, role: KVConnectorRole, kv_cache_config: KVCacheConfig) -> None:
        """Begin with no tail."""
        super().__init__(vllm_config, role, kv_cache_config)
        self.block_size = int(vllm_config.cache_config.block_size)
        self.kept: OrderedDict[str, None] = OrderedDict()
        self.loading: dict[str, Tail] = {}
        self.saving: dict[str, Tail] = {}
        self.caches: list[Tensor] = []
        self.tails: dict[str, list[Tensor]] = {}

    @property
    def requires_kv_delivery(self) -> bool:
        """A tail that is not kept costs time only."""
        return False

    # scheduler

    def get_num_new_matched_tokens(self, request: Request, num_computed_tokens: int) -> tuple[int, bool]:
        """Return how many positions behind the whole blocks that vLLM has found can be copied."""
        tail = Tail.of(request)
        if tail is None or tail.search not in self.kept or request.num_tokens <= tail.prompt:
            return 0, False
        missing = tail.prompt - num_computed_tokens
        # whole blocks may have been given to others since
        return (missing, False) if 0 < missing < self.block_size else (0, False)

    def update_state_after_alloc(self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int) -> None:
        """Remember a request that gets a tail, or whose tail will be kept."""
        tail = Tail.of(request)
        if tail is None:
            return
        if num_external_tokens:
            self.loading[request.request_id] = tail
        elif request.num_tokens == tail.prompt and tail.prompt % self.block_size:
            self.saving[request.request_id] = tail

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> CopyPlan:
        """Return what is copied in this step."""
        plan, cached = CopyPlan(), scheduler_output.scheduled_cached_reqs
        begun = {one.req_id: one.num_computed_tokens for one in scheduler_output.scheduled_new_reqs}
        begun |= dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        for name, computed in begun.items():
            if tail := self.loading.pop(name, None):
                plan.loads.append(self._place(scheduler_output, name, tail))
            tail = self.saving.get(name)
            # a long prompt takes several steps
            if tail and computed + scheduler_output.num_scheduled_tokens[name] >= tail.prompt:
                plan.saves.append(self._place(scheduler_output, name, self.saving.pop(name)))
                self.kept[tail.search] = None
        while len(self.kept) > KEPT:
            plan.gone.append(self.kept.popitem(last=False)[0])
        return plan

    def _place(self, step: SchedulerOutput, request: str, tail: Tail) -> BlockPlace:
        state = step.kv_connector_block_state
        blocks = state.get_block_ids(request) if state else None
        assert blocks, request
        return BlockPlace(tail.search, blocks[0][tail.prompt // self.block_size])

    def request_finished(self, request: Request, block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        """Forget a request, which may have been given up before it was computed; its blocks can go."""
        self.loading.pop(request.request_id, None)
        self.saving.pop(request.request_id, None)
        return False, None

    # workers

    def register_kv_caches(self, kv_caches: dict[str, Tensor]) -> None:
        """Take each layer's keys and values [blocks, ...].

        Blocks are copied whole, for what is within one is the kernels' own: on a CPU all keys of a head, then its values.
        """
        self.caches = list(kv_caches.values())

    def _plan(self) -> CopyPlan:
        plan = self._get_connector_metadata()
        assert isinstance(plan, CopyPlan)
        return plan

    def start_load_kv(self, forward_context: ForwardContext, **kwargs: Any) -> None:
        """Copy tails into the blocks of beams."""
        blocks: dict[str, list[int]] = {}
        for place in self._plan().loads:
            blocks.setdefault(place.search, []).append(place.block)
        for search, chosen in blocks.items():
            for cache, tail in zip(self.caches, self.tails[search], strict=True):
                cache[chosen] = tail

    def wait_for_save(self) -> None:
        """Keep the tails of prompts that this step has computed, and let others go."""
        plan = self._plan()
        for place in plan.saves:
            self.tails[place.search] = [cache[place.block].clone() for cache in self.caches]
        for search in plan.gone:
            self.tails.pop(search, None)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """PartialBlockConnector are there before the first layer."""

    def save_kv_layer(self, layer_name: str, kv_layer: Tensor, attn_metadata: Any, **kwargs: Any) -> None:
        """PartialBlockConnector are kept when all layers are computed."""
