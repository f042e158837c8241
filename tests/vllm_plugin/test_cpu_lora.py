"""LoRA products on a CPU: each row with its own adapter's weights, rows without an adapter untouched."""

import pytest
import torch

from recommender.vllm_plugin import cpu_lora


def test_rows_of_several_adapters_and_of_none():
    inputs, weights = torch.randn(6, 8), torch.randn(3, 1, 4, 8)
    indices = torch.tensor([0, -1, 2, 0, 2, -1])
    output = torch.full((6, 4), 9.0)
    cpu_lora.bgmv_shrink(inputs, weights, output, indices, 0.5)
    for row, adapter in enumerate(indices.tolist()):
        expected = 0.5 * weights[adapter, 0] @ inputs[row] if adapter >= 0 else torch.zeros(4)
        torch.testing.assert_close(output[row], expected)
    grown, before = torch.ones(6, 10), torch.ones(6, 10)
    cpu_lora.bgmv_expand_slice(output, torch.randn(3, 1, 5, 4), grown, indices, 5, 5)
    assert torch.equal(grown[:, :5], before[:, :5]) and torch.equal(grown[1], before[1])
    assert not torch.equal(grown[0, 5:], before[0, 5:])


@pytest.mark.parametrize("indices", [[1, 1, 1, 1], [-1, -1, -1, -1], [2, 0, -1, 1]])
@pytest.mark.parametrize("squeezed", [False, True])
def test_shrinking_and_expanding_are_the_adapters_products(indices, squeezed):
    inputs, a, b = torch.randn(4, 8), torch.randn(3, 1, 2, 8), torch.randn(3, 1, 6, 2)
    if squeezed:
        a, b = a[:, 0], b[:, 0]
    small, grown = torch.zeros(4, 2), torch.ones(4, 6)
    rows = torch.tensor(indices)
    cpu_lora.bgmv_shrink(inputs, a, small, rows, 0.5)
    cpu_lora.bgmv_expand(small, b, grown, rows)
    for row, adapter in enumerate(indices):
        change = b.reshape(3, 6, 2)[adapter] @ (0.5 * a.reshape(3, 2, 8)[adapter] @ inputs[row]) if adapter >= 0 else 0
        torch.testing.assert_close(grown[row], torch.ones(6) + change)


def test_an_output_can_be_overwritten_and_be_of_another_type():
    inputs, weights = torch.randn(3, 4, dtype=torch.bfloat16), torch.randn(1, 1, 5, 4, dtype=torch.bfloat16)
    output = torch.full((3, 5), 9.0)
    cpu_lora.bgmv_expand(inputs, weights, output, torch.zeros(3, dtype=torch.int64), add_inputs=False)
    torch.testing.assert_close(output, inputs.float() @ weights[0, 0].float().T)


def test_more_rows_of_output_than_of_input_stay_as_they_are():
    output = torch.ones(5, 3)
    cpu_lora.bgmv_expand(torch.randn(2, 4), torch.randn(1, 3, 4), output, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(output[2:], torch.ones(3, 3)) and not torch.equal(output[:2], torch.ones(2, 3))


def test_adapters_lie_on_the_cpu_also_beside_a_weight_that_was_taken_away():
    layer = torch.nn.Linear(2, 2)
    layer.weight = None
    assert cpu_lora.device_of(layer) == torch.device("cpu")
