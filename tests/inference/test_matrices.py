"""Matrices for inference: LoRA added in, several of one input stacked, 8-bit integers with either kind of instructions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recommender.inference import matrices
from recommender.inference.matrices import Int8, Int8WithoutVnni, gated, matrix, merged


@pytest.mark.parametrize("kind", [Int8, Int8WithoutVnni])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eight_bits_come_close_also_where_rows_and_channels_differ_in_size(kind, dtype):
    torch.manual_seed(0)
    weight, bias = nn.Linear(64, 48).weight.detach(), torch.randn(48)
    weight[::5] *= 20
    x = torch.randn(30, 64)
    x[0] *= 1000
    exact = x @ weight.T + bias
    found = kind(weight.to(dtype), bias.to(dtype))(x.to(dtype))
    assert found.dtype == dtype
    difference = (found.float() - exact).norm(dim=1) / exact.norm(dim=1)
    assert float(difference.max()) < 0.05


@pytest.mark.parametrize("packed", [True, False])
def test_matrices_of_one_input_are_one_behind_the_other_and_miss_no_bias(packed, monkeypatch):
    if not packed:
        monkeypatch.setattr(matrices, "_packable", lambda weight: False)
    x, parts = torch.randn(3, 8), [(torch.randn(4, 8), torch.randn(4)), (torch.randn(2, 8), None)]
    expected = torch.cat([nn.functional.linear(x, weight, bias) for weight, bias in parts], 1)
    torch.testing.assert_close(matrix(parts, bits=16)(x), expected)
    assert (matrix(parts, bits=8)(x) - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("rows", [1, 50, 300])
@pytest.mark.parametrize("activation", [nn.SiLU(), nn.GELU(approximate="tanh")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gated_half_is_the_activation_of_one_times_the_other(dtype, activation, rows):
    torch.manual_seed(0)
    x = torch.randn(rows, 64)
    gate, up = (nn.Linear(64, 96, bias=bias) for bias in (True, False))
    expected = (activation(gate(x)) * up(x)).detach()
    parts = [(part.weight.to(dtype), None if part.bias is None else part.bias.to(dtype)) for part in (gate, up)]
    found = gated(*parts, activation, bits=16)(x.to(dtype))
    assert found.dtype == dtype
    assert (found.float() - expected).norm() < {torch.float32: 1e-5, torch.bfloat16: 0.01}[dtype] * expected.norm()
    assert (gated(*parts, activation, bits=8)(x.to(dtype)).float() - expected).norm() < 0.05 * expected.norm()


def test_what_is_no_plain_matrix_is_refused():
    with pytest.raises(ValueError, match="Conv1d"):
        merged(nn.Conv1d(2, 2, 1), "rank")
