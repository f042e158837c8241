"""What runs inside vLLM: a model with projectors for soft tokens, the trie as a logits processor, a route with beam search
over it, and exact LoRA on a CPU.

Nothing here imports open_clip, torchvision or training code; vLLM itself is imported only in what vLLM calls.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Entry point `vllm.general_plugins`: called once in each of vLLM's processes, before it loads a model."""
    from vllm import ModelRegistry
    from vllm.platforms import current_platform

    from recommender.vllm_plugin.soft_tokens import ARCHITECTURE, TEXT_ARCHITECTURE

    for name in (ARCHITECTURE, TEXT_ARCHITECTURE):
        ModelRegistry.register_model(name, f"recommender.vllm_plugin.soft_token_model:{name}")
    if current_platform.is_cpu():
        from recommender.vllm_plugin import cpu_lora

        cpu_lora.install()


def endpoint() -> Any:
    """Entry point `vllm.endpoint_plugins`: the route that ranks."""
    from recommender.vllm_plugin.ranking_route import RankingRoute

    return RankingRoute()
