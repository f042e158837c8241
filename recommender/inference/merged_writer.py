"""The writing adapter merged into the base model for as long as it writes.

peft adds an adapter's two products to each matrix at each step, which costs a fifth of the time of a text. The sums are
computed once and change places with the base's own weights, so that ranking finds these as they were, to the bit.
"""

from __future__ import annotations

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.model.network import RecommenderModel


class MergedWriter:
    """Switches a model between ranking and writing. Only who holds the model may switch it."""

    def __init__(self, model: RecommenderModel) -> None:
        self._model = model
        self._merged: list[tuple[nn.Parameter, Tensor]] | None = None
        self._own: list[Tensor] = []

    def begin(self) -> None:
        """Let the model write."""
        self._model.use_adapter(EXPLAIN)
        if self._merged is None:
            self._merged = _merged_weights(self._model)
        if self._merged:
            self._own = [weight.data for weight, _ in self._merged]
            for weight, merged in self._merged:
                weight.data = merged
            self._enable_adapters(False)

    def end(self) -> None:
        """Let the model rank, with the weights that it had."""
        if self._own and self._merged:
            for (weight, _), own in zip(self._merged, self._own, strict=True):
                weight.data = own
            self._own = []
            self._enable_adapters(True)
        self._model.use_adapter(RANK)

    def _enable_adapters(self, enabled: bool) -> None:
        for module in self._model.peft.modules():
            if isinstance(module, LoraLayer):
                module._disable_adapters = not enabled  # its public setter also changes what is trained


@torch.no_grad()
def _merged_weights(model: RecommenderModel) -> list[tuple[nn.Parameter, Tensor]]:
    """Return each matrix that the writing adapter changes, and its sum with it; none where one is quantised."""
    merged = []
    for module in model.peft.modules():
        if isinstance(module, LoraLayer) and EXPLAIN in module.lora_A:
            weight = module.get_base_layer().weight
            if not weight.is_floating_point():
                return []
            a, b = module.lora_A[EXPLAIN].weight.float(), module.lora_B[EXPLAIN].weight.float()
            change = b @ a * module.scaling[EXPLAIN]
            merged.append((weight, (weight.float() + change).to(weight.dtype)))
    return merged
