"""Generation of several texts at once, against `transformers`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from recommender.adapters.lora import EXPLAIN
from recommender.inference import text_generation
from recommender.inference.writer import Writer

PROMPTS = [np.arange(3, 3 + length) % 20 for length in (4, 9, 9, 1)]


def continue_greedily(texts, steps):
    for _ in range(steps):
        texts.append(texts.logits.argmax(-1).tolist())
    return texts.tokens


def expected(model, prompt, steps):
    model.use_adapter(EXPLAIN)
    settings = GenerationConfig(do_sample=False, max_new_tokens=steps, eos_token_id=None, pad_token_id=0)
    ids = torch.from_numpy(prompt)[None]
    out = model.llm.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("room", [3, 64])
def test_each_text_is_what_transformers_writes_for_its_prompt_alone(trained, monkeypatch, room):
    monkeypatch.setattr(text_generation, "ROOM", room)
    writer = Writer(trained)
    writer.begin()
    written = continue_greedily(writer.texts(PROMPTS, lambda: None), 10)
    writer.end()
    assert written == [expected(trained, prompt, 10) for prompt in PROMPTS]


def test_the_pause_comes_before_each_layer_and_may_give_the_texts_up(trained):
    writer, calls = Writer(trained), []
    writer.begin()
    texts = writer.texts(PROMPTS, lambda: calls.append(1))
    assert len(calls) == trained.llm.config.num_hidden_layers
    continue_greedily(texts, 2)
    assert len(calls) == trained.llm.config.num_hidden_layers

    def give_up():
        raise TimeoutError

    with pytest.raises(TimeoutError):
        writer.texts(PROMPTS, give_up)
