"""4-bit matrices: what rounding loses, and shapes that the kernel does not take as they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recommender.errors import ConfigError
from recommender.inference.four_bits import GROUP, Int4, rounded
from recommender.inference.matrices import matrix


@pytest.mark.parametrize(("outputs", "inputs"), [(48, 64), (10, 40), (1, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_four_bits_come_close_whatever_the_shape(dtype, outputs, inputs):
    torch.manual_seed(0)
    weight, bias = torch.randn(outputs, inputs), torch.randn(outputs)
    x = torch.randn(30, inputs)
    exact = x @ weight.T + bias
    found = matrix([(weight.to(dtype), bias.to(dtype))], bits=4)(x.to(dtype))
    assert found.dtype == dtype and found.shape == exact.shape
    assert 0 < float((found.float() - exact).norm() / exact.norm()) < 0.12


def test_the_kernel_multiplies_what_the_codes_stand_for():
    torch.manual_seed(0)
    weight, x = torch.randn(32, 2 * GROUP), torch.randn(5, 2 * GROUP)
    codes, scales, zeros = rounded(weight)
    assert codes.min() >= 0 and codes.max() <= 15 and scales.shape == zeros.shape == (32, 2)
    meant = ((codes.unflatten(1, (2, GROUP)) - 8) * scales[..., None] + zeros[..., None]).flatten(1)
    torch.testing.assert_close(Int4(weight, None)(x), x @ meant.T, atol=1e-4, rtol=1e-4)


def test_a_group_of_sixteen_values_loses_nothing_and_an_outlier_costs_its_group_alone():
    few = torch.arange(16.0).repeat(16, 2)
    codes, scales, zeros = rounded(few)
    torch.testing.assert_close((codes - 8) * scales + zeros, few)
    weight = nn.functional.pad(few, (0, GROUP))
    weight[:, GROUP] = 100.0
    x = torch.zeros(1, 2 * GROUP)
    x[0, 3] = 1.0
    torch.testing.assert_close(Int4(weight, None)(x), torch.full((1, 16), 3.0))


def test_they_take_a_third_of_the_memory_of_bfloat16():
    part = torch.randn(96, 96).bfloat16(), None
    sizes = {bits: matrix([part], bits).nbytes for bits in (16, 8, 4)}
    assert sizes[16] == 2 * 96 * 96 and sizes[4] == 96 * 96 // 2 + 96 * 3 * 2 * 2
    assert sizes[4] < 0.35 * sizes[16] < sizes[8] < 0.6 * sizes[16]


def test_off_the_cpu_they_are_refused():
    with pytest.raises(ConfigError, match="on a CPU only"):
        Int4(torch.empty(16, 32, device="meta"), None)
