"""Exports what listens: the base cut to the depth that reads conversations, items as rows of its vocabulary.

Words come first, then the items in the order of the catalogue. What is added to an item's score lies beside the weights,
since the head of a served model has no bias.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from recommender.adapters.lora import CONVERSE, RANK
from recommender.errors import CheckpointError
from recommender.export.merge import (
    accepted,
    compared_length,
    lengthened,
    logit_difference,
    plain_base,
    reload,
    short_llm,
)
from recommender.export.projectors_export import save_text_facts
from recommender.model.checkpoint import Checkpoint
from recommender.model.network import RecommenderModel
from recommender.prompting.conversation import ConversationPrompts, HeardTurn
from recommender.prompting.packing import collate
from recommender.vllm_plugin.served_folder import OFFSETS_FILE, write_served

LISTEN = "listen"
"""The name of the folder within an export."""


def save_listening_folder(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the model that listens, without its LoRA, its items and what is added to their scores."""
    model = checkpoint.model
    short = _listening_llm(model)
    short.generation_config = GenerationConfig(do_sample=False, eos_token_id=checkpoint.tokenizer.eos_token_id)
    short.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    count = len(model.codes)
    save_text_facts(folder, model.vocabulary + count)
    write_served(folder, model.vocabulary, [count], np.arange(count)[:, None])
    assert model.listener is not None
    np.save(folder / OFFSETS_FILE, model.listener.offsets().float().cpu().numpy(), allow_pickle=False)


@torch.no_grad()
def compare_listening(checkpoint: Checkpoint, folder: Path, lora: Path) -> float:
    """Return the largest difference of the reloaded scores of a conversation. Raises CheckpointError if they differ."""
    model, first = checkpoint.model, checkpoint.catalogue[0].title
    assert model.listener is not None
    prompts = ConversationPrompts(checkpoint.tokenizer, model.vocabulary, checkpoint.config.prompt.noun)
    example, _ = prompts.prompt([HeardTurn("user", (f"I liked {first}", 0, "."))], [len(model.codes) - 1])
    example = lengthened(example, compared_length(model.llm.config, len(example)))
    ids = np.where(example.items >= 0, model.vocabulary + example.items, example.tokens)
    model.use_adapter(CONVERSE)
    try:
        hidden = model.hear(collate([[example]]).to(model.device))[0, -1]
    finally:
        model.use_adapter(RANK)
    ours = model.listener(hidden[None])[0]
    theirs = reload(folder, lora)(input_ids=torch.from_numpy(ids)[None]).logits[0, -1, model.vocabulary :]
    offsets = torch.from_numpy(np.load(folder / OFFSETS_FILE, allow_pickle=False))
    if len(theirs) != len(ours):
        raise CheckpointError(f"{folder.name}: has {len(theirs)} items, not {len(ours)}", "export again")
    return accepted(logit_difference(ours, theirs + offsets), folder)


@torch.no_grad()
def _listening_llm(model: RecommenderModel) -> Any:
    """Return a plain causal LLM that reads conversations, without LoRA; it shares no weight with `model`."""
    assert model.listener is not None
    whole, listener = plain_base(model), model.listener
    weight = whole.get_input_embeddings().weight
    short = short_llm(whole, model.listening_layers, model.vocabulary + len(model.codes), tied=False)
    short.model.norm.load_state_dict(listener.norm.state_dict())
    everything = torch.arange(len(model.codes), device=model.device)
    positions = listener.positions(everything) * model.config.base.item_scale
    short.get_input_embeddings().weight.copy_(torch.cat([weight, positions.to(weight)]))
    heads = whole.get_output_embeddings().weight
    short.get_output_embeddings().weight.copy_(torch.cat([heads, listener.rows().to(heads)]))
    return short.eval()
