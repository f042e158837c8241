"""The merged writer writes what the adapter writes, and leaves the weights that rank as they were."""

from __future__ import annotations

import torch

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.inference.merged_writer import MergedWriter


def states(model, ids):
    with torch.no_grad():
        return model.llm.model(input_ids=ids).last_hidden_state


def with_trained_adapters(checkpoint):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in checkpoint.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return checkpoint.model.eval()


def test_merged_it_computes_the_same_and_the_base_comes_back_to_the_bit(make_checkpoint):
    model, ids = with_trained_adapters(make_checkpoint()), torch.arange(12)[None] % 20
    before, trained = states(model, ids), {n: p.requires_grad for n, p in model.named_parameters()}
    kept = {name: parameter.clone() for name, parameter in model.named_parameters()}
    model.use_adapter(EXPLAIN)
    written = states(model, ids)
    model.use_adapter(RANK)
    writer = MergedWriter(model)
    for _ in range(2):
        writer.begin()
        merged = states(model, ids)
        assert torch.allclose(merged, written, atol=1e-4) and not torch.allclose(merged, before, atol=1e-2)
        writer.end()
        assert torch.equal(states(model, ids), before)
    assert all(torch.equal(parameter, kept[name]) for name, parameter in model.named_parameters())
    assert trained == {n: p.requires_grad for n, p in model.named_parameters()}
