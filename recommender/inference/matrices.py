"""Weight matrices for inference: LoRA added in, matrices of one input stacked, and 8 or 4 bits where asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.activations import SiLUActivation

from recommender.inference.four_bits import Int4

Part = tuple[Tensor, Tensor | None]
"""Weight [outputs, inputs] and bias."""
#: Number of rows that a packed layout is optimised for; it works for any other number too.
PACKED_FOR = 64


class Matrix(Protocol):
    """Maps [T, inputs] to [T, outputs]; `nbytes`: what its weights take in memory."""

    nbytes: int

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""


def merged(module: Any, adapter: str) -> Part:
    """Return weight [outputs, inputs] and bias of a linear layer with one LoRA adapter added in, computed in float32.

    Raises ValueError for a layer that is no plain matrix, for example one of a 4-bit base.
    """
    base = getattr(module, "base_layer", module)
    if type(base) is not nn.Linear:
        raise ValueError(f"a {type(base).__name__} cannot be merged")
    weight, bias = base.weight.detach(), base.bias
    if adapter not in getattr(module, "lora_A", ()):
        return weight, bias
    delta = module.lora_B[adapter].weight.detach().float() @ module.lora_A[adapter].weight.detach().float()
    return (weight.float() + delta * module.scaling[adapter]).to(weight.dtype), bias


def matrix(parts: Sequence[Part], bits: int = 16) -> Matrix:
    """Return one matrix that applies all `parts` (weight, bias) to one input; their outputs are concatenated.

    `bits`: 8 or 4 round the weights; 16 leaves them in the type of the base. Raises ConfigError for 4 off the CPU.
    """
    weight = torch.cat([weight for weight, _ in parts]) if len(parts) > 1 else parts[0][0]
    bias = None
    if any(bias is not None for _, bias in parts):
        bias = torch.cat([w.new_zeros(len(w)) if b is None else b.detach() for w, b in parts])
    if bits == 4:
        return Int4(weight, bias)
    if bits == 16:
        return Packed(weight, bias) if _packable(weight) else Full(weight, bias)
    exact = weight.device.type != "cpu" or torch.cpu._is_vnni_supported()
    return Int8(weight, bias) if exact else Int8WithoutVnni(weight, bias)


def gated(gate: Part, up: Part, activation: Callable[[Tensor], Tensor], bits: int = 16) -> Matrix:
    """Return the first half of a gated MLP, `activation(gate(x)) * up(x)`; outputs [T, intermediate]. `bits`: as above."""
    if bits == 16 and isinstance(activation, (nn.SiLU, SiLUActivation)) and _packable(gate[0]):
        return GatedPacked(Packed(*gate), Packed(*up))
    return GatedHalves(matrix([gate, up], bits), activation)


def _packable(weight: Tensor) -> bool:
    """Whether this torch has oneDNN kernels for this type on this processor."""
    if weight.device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


class Packed:
    """A matrix in the base model's type, in the memory layout of the processor's kernels.

    `linear` converts the layout at each call, which costs as much as multiplying ten rows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.nbytes = weight.nbytes
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), PACKED_FOR)
        self.bias = None if bias is None else bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


class GatedPacked:
    """`silu(gate(x)) * up(x)`, computed while the products are in the processor's cache."""

    def __init__(self, gate: Packed, up: Packed) -> None:
        self.gate, self.up = gate, up
        self.nbytes = gate.nbytes + up.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        gate = torch.ops.mkldnn._linear_pointwise(x, self.gate.weight, self.gate.bias, "swish", [], "")
        return torch.ops.mkldnn._linear_pointwise.binary(x, gate, self.up.weight, self.up.bias, "mul")


class GatedHalves:
    """`activation(gate(x)) * up(x)`, where one matrix gives both."""

    def __init__(self, both: Matrix, activation: Callable[[Tensor], Tensor]) -> None:
        self.both, self.activation = both, activation
        self.nbytes = both.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        left, right = self.both(x).chunk(2, -1)
        return self.activation(left).mul_(right)


class Full:
    """A matrix in the type of the base model."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias, self.nbytes = weight, bias, weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        return nn.functional.linear(x, self.weight, self.bias)


class Int8:
    """A matrix rounded to 8 bits, with one scale for each output row; inputs are rounded likewise at each call.

    Sums of products of 8-bit integers are exact and twice as fast as bfloat16 where a processor has VNNI instructions.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        exact = weight.float()
        self.scale = exact.abs().amax(1).clamp_min(1e-12) / 127
        self.weight = (exact / self.scale[:, None]).round().to(torch.int8).T
        self.bias, self.dtype = bias, weight.dtype
        self.nbytes = self.weight.nbytes + self.scale.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        exact = x.float()
        scale = exact.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        product = torch._int_mm((exact / scale).round_().to(torch.int8), self.weight)
        out = (product * scale).mul_(self.scale)
        return (out if self.bias is None else out + self.bias).to(self.dtype)


class Int8WithoutVnni:
    """As Int8, for processors whose older instructions saturate: inputs are rounded to 7 bits, so that no sum does.

    `_int_mm` falls back to a plain loop there; the kernels of torch's dynamic quantisation are twice as fast as float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        exact = weight.float()
        scale = exact.abs().amax(1).clamp_min(1e-12) / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates these tensors, but the kernels take no others
            rounded = torch.quantize_per_channel(
                exact, scale.double(), torch.zeros(len(scale), dtype=torch.long), 0, torch.qint8
            )
            self.packed = torch.ops.quantized.linear_prepack(rounded, None)
        self.bias, self.dtype = bias, weight.dtype
        self.nbytes = weight.numel() + scale.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        exact = x.float()
        scale = exact.abs().amax(1, keepdim=True).clamp_min(1e-12)
        out = torch.ops.quantized.linear_dynamic(exact / scale, self.packed, True).mul_(scale)
        return (out if self.bias is None else out + self.bias).to(self.dtype)
