"""Weight matrices for inference: LoRA added in, matrices of one input stacked, and 8-bit integers where asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Matrix = Callable[[Tensor], Tensor]
"""Maps [T, inputs] to [T, outputs]."""


def merged(module: Any, adapter: str) -> tuple[Tensor, Tensor | None]:
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


def matrix(parts: Sequence[tuple[Tensor, Tensor | None]], int8: bool) -> Matrix:
    """Return one matrix that computes all `parts` (weight, bias) of one input at once, outputs one behind the other."""
    weight = torch.cat([weight for weight, _ in parts]) if len(parts) > 1 else parts[0][0]
    bias = None
    if any(bias is not None for _, bias in parts):
        bias = torch.cat([w.new_zeros(len(w)) if b is None else b.detach() for w, b in parts])
    if not int8:
        return Full(weight, bias)
    exact = weight.device.type != "cpu" or torch.cpu._is_vnni_supported()
    return Int8(weight, bias) if exact else Int8WithoutVnni(weight, bias)


class Full:
    """A matrix in the type of the base model."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        return nn.functional.linear(x, self.weight, self.bias)


class Int8:
    """A matrix rounded to 8 bits an output row; inputs are rounded to 8 bits a row as they come.

    Sums of products of 8-bit integers are exact and twice as fast as bfloat16 where a processor has VNNI instructions.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        exact = weight.float()
        self.scale = exact.abs().amax(1).clamp_min(1e-12) / 127
        self.weight = (exact / self.scale[:, None]).round().to(torch.int8).T
        self.bias, self.dtype = bias, weight.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        exact = x.float()
        scale = exact.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        product = torch._int_mm((exact / scale).round_().to(torch.int8), self.weight)
        out = (product * scale).mul_(self.scale)
        return (out if self.bias is None else out + self.bias).to(self.dtype)


class Int8WithoutVnni:
    """As Int8, for processors whose older instructions saturate: inputs are rounded to 7 bits, so that none does.

    `_int_mm` falls back to a plain loop there; the kernels of torch's dynamic quantisation are twice as fast as float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        exact = weight.float()
        scale = exact.abs().amax(1).clamp_min(1e-12) / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its tensors are to leave torch some day, the kernels have no other way in
            rounded = torch.quantize_per_channel(
                exact, scale.double(), torch.zeros(len(scale), dtype=torch.long), 0, torch.qint8
            )
            self.packed = torch.ops.quantized.linear_prepack(rounded, None)
        self.bias, self.dtype = bias, weight.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        exact = x.float()
        scale = exact.abs().amax(1, keepdim=True).clamp_min(1e-12)
        out = torch.ops.quantized.linear_dynamic(exact / scale, self.packed, True).mul_(scale)
        return (out if self.bias is None else out + self.bias).to(self.dtype)
