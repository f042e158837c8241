"""The ranking layers for inference: LoRA merged, matrices fused, residual sums in float32.

`FusedStack` reimplements pre-norm layers with a gated MLP (Llama, Qwen, Mistral, SmolLM2) and is used only where it
reproduces the base model's own layers, which `layer_check.py` compares; `ModuleStack` runs any other base through its own
code, with our attention.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from recommender.inference.layer_check import adopt_traits
from recommender.inference.matrices import Matrix, gated, matrix, merged
from recommender.model import block_attention
from recommender.model.attention_traits import PLAIN, Traits
from recommender.model.block_attention import Attention

Norm = Callable[[Tensor], Tensor]
logger = logging.getLogger(__name__)


class Stack(Protocol):
    """The ranking layers."""

    @property
    def nbytes(self) -> int:
        """Bytes of their matrices in memory."""

    def __call__(self, embedded: Tensor, positions: Tensor, attention: Attention, last: Tensor | None = None) -> Tensor:
        """Run packed embeddings [T, hidden] at `positions` [T]; returns normalised hidden states [T, hidden], float32.

        With `last` [n] only those places of the row are returned, and the last layer computes no others.
        """


@dataclass(frozen=True)
class _Layer:
    """The parts of one layer; `norms` before attention and before the MLP, `head_norms` of queries and keys or None."""

    norms: tuple[Norm, Norm]
    head_norms: tuple[nn.Module, nn.Module] | None
    qkv: Matrix
    out: Matrix
    gated: Matrix
    down: Matrix
    heads: int
    key_heads: int
    width: int
    scale: float


class FusedStack:
    """Pre-norm layers with a gated MLP, reimplemented."""

    def __init__(self, backbone: Any, norm: nn.Module, adapter: str, bits: int = 16) -> None:
        """Copy the layers of `backbone`, whose last part is `norm`, with one LoRA adapter merged in.

        Raises AttributeError or ValueError if the layers have other parts than these.
        """
        self.layers = [_layer(layer, adapter, bits) for layer in backbone.layers]
        self.rotary, self.norm = backbone.rotary_emb, norm
        self.dtype = backbone.embed_tokens.weight.dtype
        #: of the attention of each layer; `adopt_traits` finds them
        self.traits: list[Traits] = [PLAIN] * len(self.layers)

    @property
    def nbytes(self) -> int:
        """See Stack."""
        return sum(part.nbytes for layer in self.layers for part in (layer.qkv, layer.out, layer.gated, layer.down))

    def __call__(self, embedded: Tensor, positions: Tensor, attention: Attention, last: Tensor | None = None) -> Tensor:
        """See Stack."""
        # residual sums are computed in place: allocating a megabyte costs more than the addition
        hidden = embedded.to(torch.float32, copy=True)
        rotation = self._rotation(hidden, positions)
        for number, layer in enumerate(self.layers):
            final = last if number == len(self.layers) - 1 else None
            hidden = self._run(number, layer, hidden, rotation, attention, final)
        return self.norm(hidden).float()

    def one_layer(self, number: int, hidden: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Return what one layer makes of hidden states [T, hidden], float32, which are changed."""
        return self._run(number, self.layers[number], hidden, self._rotation(hidden, positions), attention, None)

    def _rotation(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = (part[0, :, None] for part in self.rotary(hidden[None], positions[None]))
        half = cos.shape[-1] // 2
        return cos, torch.cat([-sin[..., :half], sin[..., half:]], -1)

    def _run(
        self,
        number: int,
        layer: _Layer,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        attention: Attention,
        last: Tensor | None,
    ) -> Tensor:
        q, k, v = self._heads(layer, hidden, rotation)
        if last is not None:
            q, hidden = q[last], hidden[last]
        attended = attention(number, q, k, v, layer.scale, last is not None, self.traits[number])
        hidden.add_(layer.out(attended.flatten(1)))
        return hidden.add_(layer.down(layer.gated(layer.norms[1](hidden).to(self.dtype))))

    def _heads(self, layer: _Layer, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries and keys, and values: [T, heads of each, width]."""
        heads = layer.qkv(layer.norms[0](hidden).to(self.dtype)).unflatten(-1, (-1, layer.width))
        rotated, v = heads[:, : layer.heads + layer.key_heads], heads[:, layer.heads + layer.key_heads :]
        if layer.head_norms:
            q, k = rotated.split([layer.heads, layer.key_heads], 1)
            rotated = torch.cat([layer.head_norms[0](q), layer.head_norms[1](k)], 1)
        crosswise = rotated.float().roll(layer.width // 2, -1)
        rotated = rotated.float().mul(rotation[0]).addcmul_(crosswise, rotation[1]).to(self.dtype)
        q, k = rotated.split([layer.heads, layer.key_heads], 1)
        return q, k, v.to(self.dtype)


class ModuleStack:
    """Any causal LLM, run by its own code; its layers call our attention through the registry of `transformers`."""

    def __init__(self, backbone: Any, llm: Any) -> None:
        """Run `backbone`, a view of the layers of `llm`, whose attention falls back to SDPA for all other callers."""
        if llm.config._attn_implementation != block_attention.NAME:
            llm.set_attn_implementation(block_attention.NAME)
        #: why no faster copy of the layers takes their place; None if none was tried
        self.refused: str | None = None
        self.backbone = backbone
        self.backbone.config._attn_implementation = block_attention.NAME
        self.dtype = backbone.embed_tokens.weight.dtype

    @property
    def nbytes(self) -> int:
        """See Stack."""
        return sum(parameter.nbytes for parameter in self.backbone.layers.parameters())

    def __call__(self, embedded: Tensor, positions: Tensor, attention: Attention, last: Tensor | None = None) -> Tensor:
        """See Stack."""
        with block_attention.handing_on({"packed_attention": attention}) as arguments:
            result = self.backbone(
                inputs_embeds=embedded[None].to(self.dtype),
                position_ids=positions[None],
                # a ready-made mask is passed on unchanged; our attention ignores it
                attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=embedded.device),
                use_cache=False,
                **arguments,
            )
        hidden = result.last_hidden_state[0].float()
        return hidden if last is None else hidden[last]


def make_stack(backbone: Any, norm: nn.Module, llm: Any, adapter: str, bits: int = 16) -> Stack:
    """Return the fastest stack that reproduces the base model's own layers.

    `backbone`: a view of the ranking layers that ends with `norm`. `bits`: 8 or 4 round the matrices.
    Raises ConfigError for 4 off the CPU.
    """
    modules = ModuleStack(backbone, llm)
    try:
        exact = FusedStack(backbone, norm, adapter)
        difference = adopt_traits(exact, modules)
    except Exception as error:  # layers of a kind that the copy was not written for fail in any way
        difference = f"{type(error).__name__}: {error}"
    if difference is not None:
        modules.refused = difference
        _tell_refused(type(llm.get_base_model() if hasattr(llm, "get_base_model") else llm).__name__, difference)
        return modules
    if bits == 16:
        return exact
    rounded = FusedStack(backbone, norm, adapter, bits)
    rounded.traits = exact.traits
    return rounded


@lru_cache(maxsize=64)  # once a reason, not once a stack
def _tell_refused(base: str, difference: str) -> None:
    logger.warning("%s runs by its own code: faster layers would compute something else (%s)", base, difference)


def _layer(layer: Any, adapter: str, bits: int) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    if hasattr(layer, "pre_feedforward_layernorm"):
        raise ValueError("a layer with norms behind attention and MLP")
    q, k, v = (merged(getattr(attention, f"{name}_proj"), adapter) for name in "qkv")
    gate, up = (merged(getattr(mlp, f"{name}_proj"), adapter) for name in ("gate", "up"))
    width = int(attention.head_dim)
    norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
    return _Layer(
        norms=(_norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)),
        head_norms=norms,
        qkv=matrix([q, k, v], bits),
        out=matrix([merged(attention.o_proj, adapter)], bits),
        gated=gated(gate, up, mlp.act_fn, bits),
        down=matrix([merged(mlp.down_proj, adapter)], bits),
        heads=len(q[0]) // width,
        key_heads=len(k[0]) // width,
        width=width,
        scale=float(attention.scaling),
    )


def _norm(module: nn.Module) -> Norm:
    """Return a norm over the last axis: a faster one for Llama's RMS norm, else the base's own."""
    epsilon, weight = getattr(module, "variance_epsilon", None), getattr(module, "weight", None)
    if epsilon is None or weight is None:
        return module
    exact = weight.detach().float()

    def norm(hidden: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        return (hidden * (length.square() / len(exact) + epsilon).rsqrt_()).mul_(exact)

    return norm
