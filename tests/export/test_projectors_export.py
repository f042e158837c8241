"""Projectors in an export: what is written makes the soft tokens of the checkpoint, and an index names every file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from recommender.export.merge import TokenLayout, item_positions, save_ranking
from recommender.export.projectors_export import ITEMS_WEIGHTS, placeholders, save_served_parts, soft_reading
from recommender.vllm_plugin.served_folder import write_served
from recommender.vllm_plugin.soft_projectors import PROJECTORS_FILE
from recommender.vllm_plugin.soft_tokens import TEXT_ARCHITECTURE, vectors_file


@pytest.fixture
def saved(make_checkpoint, tmp_path):
    """A checkpoint and a folder that holds its ranking base, its projectors and its vectors."""
    checkpoint = make_checkpoint()
    model = checkpoint.model
    layout = replace(TokenLayout.of(model), placeholders=placeholders(model))
    with torch.no_grad():
        save_ranking(checkpoint, layout, tmp_path, merged=False)
    write_served(tmp_path, layout.words, model.ids.sizes, model.ids.codes)
    save_served_parts(model, layout, tmp_path)
    return checkpoint, layout, tmp_path


def test_vectors_are_written_with_what_is_present(saved):
    checkpoint, _, folder = saved
    for modality in checkpoint.model.soft_modalities:
        table = np.load(folder / vectors_file(modality))
        np.testing.assert_array_equal(table[:, :-1], checkpoint.model.features.vectors[modality].astype(np.float16))
        assert np.array_equal(table[:, -1] > 0, checkpoint.model.features.present[modality])


def test_soft_tokens_are_read_as_the_checkpoint_projects_them(saved):
    checkpoint, layout, folder = saved
    llm, embedded = AutoModelForCausalLM.from_pretrained(folder), []
    llm.model.register_forward_pre_hook(
        lambda _, args, kwargs: embedded.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    words, item = [3, 5], 3  # item 3 has no image
    soft = layout.first_soft + item * layout.soft
    with torch.no_grad():
        soft_reading(folder)(llm, torch.tensor([[*words, *range(soft, soft + layout.soft), 8]]))
        expected = checkpoint.model.all_items()[1][item]
        torch.testing.assert_close(embedded[0][0, 2:5], expected, atol=1e-2, rtol=1e-2)  # vectors are float16
        torch.testing.assert_close(embedded[0][0, :2], llm.get_input_embeddings()(torch.tensor(words)))


def test_the_index_of_a_base_in_several_files_names_the_projectors(saved):
    checkpoint, layout, folder = saved
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    save_served_parts(checkpoint.model, layout, folder)
    names = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert names.pop("a") == "model-1.safetensors"
    assert set(names) == set(load_file(folder / PROJECTORS_FILE)) and set(names.values()) == {PROJECTORS_FILE}


@pytest.mark.parametrize("levels", [1, 3])
@torch.no_grad()
def test_without_soft_modalities_there_is_a_table_of_items_or_nothing_beside_the_base(
    make_checkpoint, tmp_path, levels
):
    checkpoint = make_checkpoint(levels)
    model = checkpoint.model
    model.soft_modalities = ()
    layout = TokenLayout.of(model).served(placeholders(model))
    save_ranking(checkpoint, layout, tmp_path, merged=False)
    save_served_parts(model, layout, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [TEXT_ARCHITECTURE] and not (tmp_path / PROJECTORS_FILE).exists()
    assert (tmp_path / ITEMS_WEIGHTS).exists() == (levels == 3)
    llm = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    item = layout.first_item + 7 if levels == 3 else layout.words + 7
    embedded = []
    llm.model.register_forward_pre_hook(
        lambda _, args, kwargs: embedded.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    soft_reading(tmp_path)(llm, torch.tensor([[3, item, 5]]))
    torch.testing.assert_close(embedded[0][0, 1], item_positions(model)[7])
    with pytest.raises(ValueError, match="is no token"):
        soft_reading(tmp_path)(llm, torch.tensor([[3, layout.first_soft, 5]]))
