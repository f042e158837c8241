"""A stand-in for the few classes of vLLM that the plugin derives from, so that its own logic is tested without a server.

`stub` replaces vLLM's modules while a module of the plugin is imported; what vLLM itself does with the plugin is tested on
a real server (test_vllm_engine.py).
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock


class LogitsProcessor:
    """Both interfaces are classes without state."""


class LogitsProcessorV2:
    """The interface of the V2 runner."""


def process_dict_updates(entries, update, new_state):
    """Follow a batch as vLLM's function does: rows are added, removed, and moved (in one direction only)."""
    for row, params, prompt, output in update.added:
        state = new_state(params, prompt, output)
        entries.pop(row, None)
        if state is not None:
            entries[row] = state
    for row in update.removed:
        entries.pop(row, None)
    for source, target in update.moved:
        entries.pop(target, None)
        if source in entries:
            entries[target] = entries.pop(source)


@dataclass
class SamplingParams:
    extra_args: dict[str, Any] | None = None
    logprobs: int | None = None
    max_tokens: int | None = None
    temperature: float = 1.0
    detokenize: bool = True
    ignore_eos: bool = False
    output_kind: Any = None


class KVConnectorMetadata:
    pass


class KVConnectorBase:
    def __init__(self, config, role, cache_config):
        self.metadata = None

    def _get_connector_metadata(self):
        return self.metadata


@dataclass
class PlaceholderRange:
    offset: int
    length: int


@dataclass
class MultiModalFieldElem:
    data: Any
    field: Any


def update(added=(), removed=(), moved=()):
    """Return what V1 says of a changed batch."""
    return SimpleNamespace(added=added, removed=removed, moved=moved)


@dataclass
class V2Context:
    """Which request slot each row belongs to, and the position of its last token."""

    slots: list[int]
    positions: list[int]
    pos: list[int] = field(init=False)
    expanded_idx_mapping: Any = field(init=False)

    def __post_init__(self):
        self.pos = self.positions
        self.expanded_idx_mapping = SimpleNamespace(tolist=lambda: self.slots)


_NAMES = {
    "vllm.v1.sample.logits_processor": {"LogitsProcessor": LogitsProcessor},
    "vllm.v1.sample.logits_processor.builtin": {"process_dict_updates": process_dict_updates},
    "vllm.v1.worker.gpu.sample.logits_processor.interface": {"LogitsProcessor": LogitsProcessorV2},
    "vllm.distributed.kv_transfer.kv_connector.v1.base": {
        "KVConnectorBase_V1": KVConnectorBase,
        "KVConnectorMetadata": KVConnectorMetadata,
        "KVConnectorRole": object,
    },
    "vllm.inputs.engine": {
        "mm_input": lambda ids, **parts: {"prompt_token_ids": ids, **parts},
        "tokens_input": lambda ids: {"prompt_token_ids": ids},
    },
    "vllm.multimodal.inputs": {
        "MultiModalBatchedField": type("MultiModalBatchedField", (), {}),
        "MultiModalFieldElem": MultiModalFieldElem,
        "MultiModalKwargsItem": dict,
        "MultiModalKwargsItems": dict,
        "PlaceholderRange": PlaceholderRange,
    },
    "vllm.sampling_params": {
        "RequestOutputKind": SimpleNamespace(FINAL_ONLY="final only"),
        "SamplingParams": SamplingParams,
    },
}


@contextmanager
def stub(name):
    """Import a module of the plugin anew, over the stand-in; afterwards neither is left behind."""
    modules = {}
    for path, names in _NAMES.items():
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            modules.setdefault(".".join(parts[:end]), ModuleType(".".join(parts[:end])))
        vars(modules[path]).update(names)
    full_name = f"recommender.vllm_plugin.{name}"
    with mock.patch.dict(sys.modules, modules):
        sys.modules.pop(full_name, None)
        yield importlib.import_module(full_name)
    sys.modules.pop(full_name, None)
