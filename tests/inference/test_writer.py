"""The model as a writer: it writes with its own adapter, and ranks as it did."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.inference import writer as writers
from recommender.inference.layers import FusedStack, ModuleStack
from recommender.inference.writer import Writer

PROMPT = np.arange(12) % 20


def logits(writer):
    writer.begin()
    try:
        return writer.texts([PROMPT], lambda: None).logits[0].float()
    finally:
        writer.end()


def states_and_logits(model):
    with torch.no_grad():
        states = model.llm.model(input_ids=torch.from_numpy(PROMPT)[None]).last_hidden_state
        return states, model.llm.get_output_embeddings()(states)[0, -1].float()


@pytest.mark.parametrize("own_code", [False, True], ids=["laid out", "the base's own code"])
def test_the_writing_adapter_writes_and_ranking_stays_to_the_bit(trained, monkeypatch, own_code):
    if own_code:
        monkeypatch.setattr(writers, "make_stack", lambda view, norm, llm, adapter: ModuleStack(view, llm))
    before, kept = states_and_logits(trained)[0], {n: p.clone() for n, p in trained.named_parameters()}
    gradients = {n: p.requires_grad for n, p in trained.named_parameters()}
    trained.use_adapter(EXPLAIN)
    expected = states_and_logits(trained)[1]
    trained.use_adapter(RANK)
    writer = Writer(trained)
    for _ in range(2):
        assert torch.allclose(logits(writer), expected, atol=1e-4)
        assert torch.equal(states_and_logits(trained)[0], before)
    assert isinstance(writer._layers[0], ModuleStack if own_code else FusedStack)
    assert not torch.allclose(expected, states_and_logits(trained)[1], atol=1e-2)
    assert all(torch.equal(parameter, kept[name]) for name, parameter in trained.named_parameters())
    assert gradients == {n: p.requires_grad for n, p in trained.named_parameters()}


def test_changed_weights_are_noticed_between_two_texts(trained):
    writer = Writer(trained)
    before = logits(writer)
    assert torch.equal(logits(writer), before)
    with torch.no_grad():
        next(p for n, p in trained.named_parameters() if "lora_B" in n and EXPLAIN in n).mul_(3.0)
    assert not torch.allclose(logits(writer), before)


def test_no_text_begins_before_the_writer_does(trained):
    with pytest.raises(RuntimeError, match="begin"):
        Writer(trained).texts([PROMPT], lambda: None)
