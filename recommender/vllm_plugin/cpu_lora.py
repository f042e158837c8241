"""LoRA on a CPU: one matrix product for each adapter in a batch, instead of a gathered copy of its weights for each token.

vLLM's torch functions index the weights by token. An index of -1 (no adapter) then reads the last adapter's weights, so that
a row without an adapter gets one unless a slot is free. Here such rows get none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _products(inputs: Tensor, weights: Tensor, indices: Tensor, output: Tensor) -> Tensor:
    """Return inputs [tokens, in] times the weights [adapters, (1,) out, in] of each token's adapter -> [tokens, out]."""
    stacked = weights.squeeze(1) if weights.dim() == 4 else weights
    inputs = inputs[: len(indices)].to(output.dtype)
    adapters = indices.unique().tolist()
    if len(adapters) == 1 and adapters[0] >= 0:  # the usual case, which needs no indexing of rows
        return inputs @ stacked[adapters[0]].to(output.dtype).T
    result = output.new_zeros(len(indices), stacked.shape[1])
    for adapter in adapters:
        if adapter >= 0:
            rows = indices == adapter
            result[rows] = inputs[rows] @ stacked[adapter].to(output.dtype).T
    return result


def bgmv_shrink(inputs: Tensor, lora_a: Tensor, output: Tensor, indices: Tensor, scaling: float = 1.0) -> None:
    """Write scaling * A x into output [tokens, rank]."""
    result = _products(inputs, lora_a, indices, output)
    output[: len(result), : result.shape[1]] = scaling * result


def bgmv_expand(inputs: Tensor, lora_b: Tensor, output: Tensor, indices: Tensor, add_inputs: bool = True) -> None:
    """Write B h into output [tokens, out], or add it."""
    bgmv_expand_slice(inputs, lora_b, output, indices, 0, output.shape[1], add_inputs)


def bgmv_expand_slice(
    inputs: Tensor,
    lora_b: Tensor,
    output: Tensor,
    indices: Tensor,
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = True,
) -> None:
    """Write B h into a slice of output's columns, or add it."""
    result = _products(inputs, lora_b, indices, output)
    width = min(slice_size, result.shape[1])
    columns = output[: len(result), slice_offset : slice_offset + width]
    if add_inputs:
        columns += result[:, :width]
    else:
        columns.copy_(result[:, :width])


def device_of(base_layer: nn.Module) -> torch.device:
    """Return where the adapters of a layer lie. vLLM asks its weight, which a layer in 8 bits has given to oneDNN."""
    return torch.device("cpu")


def install() -> None:
    """Replace vLLM's functions by these, in every module that may have imported them already."""
    from vllm.lora.layers import base_linear, utils
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    for function in (bgmv_shrink, bgmv_expand, bgmv_expand_slice):
        for module in (torch_ops, lora_ops, punica_cpu):
            setattr(module, function.__name__, function)
    for layers in (utils, base_linear):
        layers._get_lora_device = device_of
