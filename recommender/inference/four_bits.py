"""Matrices of 4-bit integers on a CPU, by torch's own kernel, which is also that of torchao there.

Weights are rounded in groups of one row, each with a scale and a zero of its own; inputs stay in the type of the base. They
take a third of the memory of bfloat16. The kernel turns them back as it multiplies, so it is slower where prompts are long.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recommender.errors import ConfigError

#: weights of a row that share a scale and a zero, the fewest that the kernel takes
GROUP = 32
#: rows that the kernel reads at once
_ROWS = 16
#: ranges that are tried for a group, as shares of its largest difference: outliers are cut off where that loses less
_RANGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
_HIGHEST = 15


class Int4:
    """A matrix rounded to 4 bits by groups of 32 inputs."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Round `weight` [outputs, inputs]. Raises ConfigError for one that does not lie on a CPU."""
        if weight.device.type != "cpu":
            raise ConfigError(
                "decoding.bits: 4 ranks on a CPU only", "rank with --bits 16 or 8, or set base.device to cpu"
            )
        self.outputs, inputs = weight.shape
        self.missing = -inputs % GROUP
        padded = nn.functional.pad(weight.detach().float(), (0, self.missing, 0, -self.outputs % _ROWS))
        codes, scales, zeros = rounded(padded)
        self.weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        self.scales = torch.stack([scales, zeros], -1).transpose(0, 1).contiguous().to(weight.dtype)
        self.bias = None if bias is None else bias.detach()
        self.nbytes = self.weight.nbytes + self.scales.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        x = nn.functional.pad(x, (0, self.missing)) if self.missing else x
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(x.contiguous(), self.weight, GROUP, self.scales)
        out = out[:, : self.outputs]
        return out if self.bias is None else out + self.bias


def rounded(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return 4-bit codes [outputs, inputs] int32, and scales and zeros [outputs, groups] of a matrix.

    A weight is `(code - 8) * scale + zero` of its group. Of several ranges that a group may span, that with the least
    squared error is taken.
    """
    groups = weight.unflatten(1, (-1, GROUP))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    best = torch.full_like(low, torch.inf)
    codes, scales, zeros = torch.zeros_like(groups), torch.ones_like(low), torch.zeros_like(low)
    for share in _RANGES:
        cut = (high - low) * (1 - share) / 2
        scale = ((high - low) * share / _HIGHEST).clamp_min(1e-12)
        found = ((groups - low - cut) / scale).round_().clamp_(0, _HIGHEST)
        zero = low + cut + 8 * scale
        lost = ((found - 8) * scale + zero - groups).square_().sum(-1, keepdim=True)
        better = lost < best
        best, codes = torch.where(better, lost, best), torch.where(better, found, codes)
        scales, zeros = torch.where(better, scale, scales), torch.where(better, zero, zeros)
    return codes.flatten(1).to(torch.int32), scales.squeeze(-1), zeros.squeeze(-1)
