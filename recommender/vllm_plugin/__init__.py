"""What runs inside vLLM: the trie as a logits processor, beam search over it as a route, LoRA on a CPU made exact.

Nothing here imports open_clip, torchvision or what trains; vLLM itself is imported only where vLLM calls.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Entry point `vllm.general_plugins`: called once in each of vLLM's processes."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        from recommender.vllm_plugin import lora

        lora.install()


def endpoint() -> Any:
    """Entry point `vllm.endpoint_plugins`: the route that ranks."""
    from recommender.vllm_plugin.route import RankingRoute

    return RankingRoute()
