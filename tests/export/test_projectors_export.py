"""Projectors in an export: what is written makes the soft tokens of the checkpoint, and an index names every file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from recommender.export.merge import TokenLayout, save_ranking
from recommender.export.projectors_export import WEIGHTS, placeholders, save_projectors, soft_reading
from recommender.vllm_plugin.served_folder import write_served
from recommender.vllm_plugin.soft_tokens import vectors_file


@pytest.fixture
def saved(make_checkpoint, tmp_path):
    """A checkpoint and a folder that holds its ranking base, its projectors and its vectors."""
    checkpoint = make_checkpoint()
    model = checkpoint.model
    layout = replace(TokenLayout.of(model), placeholders=placeholders(model))
    with torch.no_grad():
        save_ranking(checkpoint, layout, tmp_path, merged=False)
    write_served(tmp_path, layout.words, model.ids.sizes, model.ids.codes)
    save_projectors(model, layout.first_soft, tmp_path)
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
    save_projectors(checkpoint.model, layout.first_soft, folder)
    names = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert names.pop("a") == "model-1.safetensors"
    assert set(names) == set(load_file(folder / WEIGHTS)) and set(names.values()) == {WEIGHTS}


def test_without_soft_modalities_the_base_stays_as_it_is(make_checkpoint, tmp_path):
    model = make_checkpoint().model
    model.soft_modalities = ()
    save_projectors(model, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []
