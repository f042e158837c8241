"""Compares a faster copy of a base's layers with the base's own code, layer by layer, before it may take their place.

Each layer of both gets the same input, the one that the base's own layers hand on, so that no rounding adds up and a
bound can be tight. Compared are queries, keys and values as the attention gets them, how they are scaled, and what comes
out: at every position of a prompt that reaches far, and beyond a short window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recommender.inference.attention import Group, PromptAttention, PromptCache
from recommender.model.attention_traits import PLAIN, Traits

if TYPE_CHECKING:
    from recommender.inference.layers import FusedStack, ModuleStack

#: Positions that are compared, and how far they reach: rotations are another for each.
POSITIONS, REACH = 24, 2048
#: A longer window than this is not exceeded: both stacks mask by the same function, and only its size is compared.
LONGEST_WINDOW = 256
#: Largest norm of a difference at a position: as a share of what is computed there, and of the sum that it is added to.
#: bfloat16 rounds each channel by its size, and a few channels are a thousand times larger than the others. Measured on the
#: layers of SmolLM2-135M in bfloat16: queries, keys and values 0.014 at most; of what a layer adds 0.05 at a position.
BOUNDS = {torch.float32: (1e-4, 1e-6), torch.bfloat16: (0.03, 2**-8), torch.float16: (0.01, 2**-10)}
#: By how much a single position may exceed the bounds where numbers are rounded; half of all positions may not.
SINGLE = 2.5


class _Calls(PromptAttention):
    """The attention of a prefill that keeps what it is called with."""

    def __init__(self, positions: int) -> None:
        super().__init__(PromptCache([Group(0, 1, positions)]))
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self.scales: list[float] = []
        self.traits: list[Traits] = []
        self.layers: list[int] = []

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False, traits: Traits = PLAIN
    ) -> Tensor:
        """See Attention."""
        self.layers.append(layer)
        self.parts.append((q.float(), k.float(), v.float()))
        self.scales.append(scale)
        self.traits.append(traits)
        # one layer of a copy may be called alone, where the cache has none before it
        return super().__call__(layer if layer == len(self.cache.keys) else -1, q, k, v, scale, last, traits)


def adopt_traits(fused: FusedStack, modules: ModuleStack) -> str | None:
    """Give a faster copy the attention traits of the base's layers; returns what is not the same in both, None: all is.

    Only a copy that is the same may be used.
    """
    size = POSITIONS
    theirs, passed = _own_pass(modules, size)
    windows = [t.window for t in theirs.traits if t.window is not None and t.window <= LONGEST_WINDOW]
    if windows and max(windows) >= size:
        size = max(windows) + 8
        theirs, passed = _own_pass(modules, size)
    if theirs.layers != list(range(len(fused.layers))):
        return f"attention is called for the layers {theirs.layers}"
    embedded, places = _probe(modules, size)
    if not _same(passed[0][0], embedded, None, fused.dtype):
        return "layer 0: the embeddings are changed before it"
    fused.traits = theirs.traits
    for number, (before, after) in enumerate(passed):
        ours = _Calls(size)
        out = fused.one_layer(number, before.clone(), places, ours)
        for name, mine, own in zip(("queries", "keys", "values"), ours.parts[0], theirs.parts[number], strict=True):
            if not _same(mine.flatten(1), own.flatten(1), None, fused.dtype):
                return f"layer {number}: its {name}"
        if abs(ours.scales[0] - theirs.scales[number]) > 1e-6 * abs(theirs.scales[number]):
            return f"layer {number}: the scale of its attention"
        if not _same(out, after, before, fused.dtype):
            return f"layer {number}: what it adds"
    return None


def _probe(modules: ModuleStack, size: int) -> tuple[Tensor, Tensor]:
    """Return embeddings [size, hidden] of words from the whole vocabulary, and positions [size] that reach far."""
    table = modules.backbone.embed_tokens
    device, known = table.weight.device, getattr(modules.backbone.config, "max_position_embeddings", None) or REACH
    tokens = torch.linspace(0, len(table.weight) - 1, size, device=device).long()
    stride = max(min(REACH, int(known) - 1) // size, 1)
    return table(tokens).float(), torch.arange(size, device=device) * stride


def _own_pass(modules: ModuleStack, size: int) -> tuple[_Calls, list[tuple[Tensor, Tensor]]]:
    """Run the base's own layers; returns what its attention was called with, and what went in and out of each layer."""
    embedded, places = _probe(modules, size)
    calls, passed = _Calls(size), list[tuple[Tensor, Tensor]]()
    with _watched(modules.backbone.layers, lambda before, after: passed.append((before, after))):
        modules(embedded, places, calls)
    return calls, passed


@contextmanager
def _watched(layers: Any, tell: Callable[[Tensor, Tensor], None]) -> Iterator[None]:
    """Within the block `tell` gets the hidden states [positions, hidden] before and behind each layer, float32."""

    def watch(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        before = args[0] if args else kwargs["hidden_states"]
        after = result[0] if isinstance(result, tuple) else result
        tell(before[0].float(), after[0].float())

    hooks = [layer.register_forward_hook(watch, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _same(ours: Tensor, theirs: Tensor, before: Tensor | None, dtype: torch.dtype) -> bool:
    """Whether two results [positions, width] are the same at every position; `before`: what both were added to."""
    share, rounding = BOUNDS.get(dtype, BOUNDS[torch.bfloat16])
    differences = (ours.float() - theirs).norm(dim=-1)
    if before is None:  # not added to anything
        return bool((differences <= share * theirs.norm(dim=-1)).all())  # NaN is no agreement
    allowed = share * (theirs - before).norm(dim=-1) + rounding * theirs.norm(dim=-1)
    single = 1.0 if dtype == torch.float32 else SINGLE
    return bool((differences <= single * allowed).all() and (differences <= allowed).float().mean() >= 0.5)
