"""The folder that listens: plain transformers with its LoRA give the scores that the checkpoint gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from recommender.engine import Recommender
from recommender.errors import CheckpointError
from recommender.export.listening_export import compare_listening
from recommender.export.vllm_folder import export_vllm, load_exported
from recommender.vllm_plugin.served_folder import OFFSETS_FILE


@pytest.fixture
def exported(listening_checkpoint, tmp_path):
    export_vllm(listening_checkpoint, tmp_path / "out")
    return listening_checkpoint, tmp_path / "out"


@torch.no_grad()
def test_another_library_gives_the_same_scores(exported):
    checkpoint, folder = exported
    engine = Recommender(checkpoint)
    text = "something like The red story please, no drama"
    example = engine.reader.conversation([("user", text)], [4, 2]).prompt
    ids = np.where(example.items >= 0, checkpoint.model.vocabulary + example.items, example.tokens)
    plain = AutoModelForCausalLM.from_pretrained(folder / "listen", dtype=torch.float32).eval()
    adapted = PeftModel.from_pretrained(plain, folder / "lora" / "converse").eval()
    logits = adapted(input_ids=torch.from_numpy(ids)[None]).logits[0, -1, checkpoint.model.vocabulary :]
    scores = torch.log_softmax(logits.double() + torch.from_numpy(np.load(folder / "listen" / OFFSETS_FILE)), 0)
    assert np.allclose(scores.numpy(), engine.hear_prompts([example])[0], atol=1e-3)


def test_prompts_of_the_export_are_those_of_the_checkpoint(exported):
    checkpoint, folder = exported
    served = load_exported(folder, checkpoint.catalogue)
    assert served.conversations is not None and served.popularity is not None
    from recommender.prompting.conversation import HeardTurn

    turns = [HeardTurn("user", ("I liked ", 3, " a lot"))]
    ours, _ = Recommender(checkpoint).reader.prompts.prompt(turns, [1])
    theirs, _ = served.conversations.prompt(turns, [1])
    assert np.array_equal(ours.tokens, theirs.tokens) and np.array_equal(ours.items, theirs.items)


def test_scores_that_differ_are_refused(exported):
    checkpoint, folder = exported
    offsets = np.load(folder / "listen" / OFFSETS_FILE)
    np.save(folder / "listen" / OFFSETS_FILE, offsets + np.linspace(0, 5, len(offsets), dtype=offsets.dtype))
    with pytest.raises(CheckpointError):
        compare_listening(checkpoint, folder / "listen", folder / "lora" / "converse")
