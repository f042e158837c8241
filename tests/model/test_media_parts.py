"""A model whose pictures consist of parts: soft tokens of each, kept by a checkpoint, and the same in an exported folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from recommender.encoders.features import Features
from recommender.encoders.reduction import Reduction
from recommender.engine import Recommender
from recommender.export.merge import TokenLayout, save_ranking
from recommender.export.projectors_export import placeholders, save_served_parts, soft_reading
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, save_pretrained
from recommender.prompting.example import FIRST_SOFT, ITEM
from recommender.semantic_ids.codes import SemanticIds
from recommender.vllm_plugin.served_folder import write_served


@pytest.fixture
def parted(catalogue, features, config) -> Checkpoint:
    """An untrained checkpoint of the tiny world whose pictures are three parts, two numbers each."""
    reduction = Reduction(np.zeros(4, np.float32), np.ones((2, 4), np.float32), 1.0, "tower", parts=3)
    read = Features(features.vectors, features.present, {"image": reduction})
    llm, tokenizer = load_llm(config.base)
    torch.manual_seed(1)
    model = RecommenderModel(llm, SemanticIds.atomic(len(catalogue)), read, config).eval()
    return Checkpoint(model, tokenizer, catalogue, config)


def test_a_spelled_out_item_has_soft_tokens_of_every_part(parted):
    example = parted.builder.prompt([5], titled=1)
    assert example.slots[example.items == 5].tolist() == [*range(FIRST_SOFT, FIRST_SOFT + 5), ITEM]
    assert [parted.model.soft_start(m) for m in ("image", "audio", "collaborative")] == [0, 3, 4]
    assert parted.model.all_items()[1].shape[1] == parted.model.soft_slots == 5


def test_a_checkpoint_keeps_the_parts_and_ranks_as_before(parted, tmp_path):
    save_pretrained(parted, tmp_path / "saved")
    before = Recommender(parted).recommend(["101", "102"], k=5)
    again = Recommender.from_pretrained(tmp_path / "saved", parted.catalogue).recommend(["101", "102"], k=5)
    assert [item.item_id for item in before] == [item.item_id for item in again]


@torch.no_grad()
def test_other_vectors_for_one_prompt_change_all_parts_of_that_item_alone(parted):
    model, items = parted.model, torch.tensor([5, 5, 5, 5, 5, 5, 6])
    slots = torch.tensor([*range(FIRST_SOFT, FIRST_SOFT + 5), ITEM, ITEM])
    embedded = torch.zeros(7, model.hidden_size)
    model.override_vectors(embedded, items, slots, {5: {"image": np.arange(6, dtype=np.float32)}})
    changed = embedded.abs().sum(1) > 0
    assert changed.tolist() == [True, True, True, False, False, True, False]


@torch.no_grad()
def test_an_exported_folder_reads_the_parts_as_the_checkpoint_projects_them(parted, tmp_path):
    model = parted.model
    layout = replace(TokenLayout.of(model), placeholders=placeholders(model))
    save_ranking(parted, layout, tmp_path, merged=False)
    write_served(tmp_path, layout.words, model.ids.sizes, model.ids.codes)
    save_served_parts(model, layout, tmp_path)
    llm, embedded = AutoModelForCausalLM.from_pretrained(tmp_path), []
    llm.model.register_forward_pre_hook(lambda _, args, kw: embedded.append(kw["inputs_embeds"]), with_kwargs=True)
    soft = layout.first_soft + 4 * layout.soft
    soft_reading(tmp_path)(llm, torch.tensor([[3, *range(soft, soft + layout.soft), 8]]))
    torch.testing.assert_close(embedded[0][0, 1:6], model.all_items()[1][4], atol=1e-2, rtol=1e-2)
