"""Exports what a served model has beside its base: projectors that make soft tokens, the catalogue's vectors, and a table of
items where they are no rows of the vocabulary."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recommender.export.merge import Reading, TokenLayout, item_positions
from recommender.model.network import RecommenderModel
from recommender.vllm_plugin.soft_projectors import PROJECTORS_FILE, load_projectors
from recommender.vllm_plugin.soft_tokens import (
    ARCHITECTURE,
    SECTION,
    TEXT_ARCHITECTURE,
    SoftFacts,
    SoftTokens,
    vectors_file,
)

ITEMS_WEIGHTS = "item_table.safetensors"
_INDEX = "model.safetensors.index.json"


def placeholders(model: RecommenderModel) -> tuple[str, ...]:
    """Return the placeholder tokens of soft tokens, one for each modality."""
    return tuple(f"<|{m}|>" for m in model.soft_modalities)


def save_served_parts(model: RecommenderModel, layout: TokenLayout, folder: Path) -> None:
    """Write projectors, vectors and items into the folder of a saved base, and name our model in its config."""
    widths = {str(m): model.features.vectors[m].shape[1] for m in model.soft_modalities}
    settings, beside = model.config, layout.items_beside
    facts = SoftFacts(
        base=_architecture(folder),
        soft=widths,
        tokens=settings.prompt.soft_tokens,
        first=layout.first_soft,
        item_scale=settings.base.item_scale,
        embedding_scale=model.embedding_scale,
        first_placeholder=layout.first_placeholder,
        items=layout.items if beside else 0,
        first_item=layout.first_item if beside else 0,
        parts={str(m): parts for m in model.soft_modalities if (parts := model.features.parts(m)) > 1},
    )
    write_facts(facts, folder)
    if beside:
        _save_weights({"items.weight": item_positions(model)}, folder, ITEMS_WEIGHTS)
    if widths:
        weights = {f"projectors.{m}.{n}": w for m in widths for n, w in model.projectors[m].state_dict().items()}
        _save_weights(weights | {"centre": model.centre}, folder, PROJECTORS_FILE)
    for m in model.soft_modalities:
        table = np.concatenate([model.features.vectors[m], model.features.usable(m)[:, None]], 1)
        np.save(folder / vectors_file(m), table.astype(np.float16, copy=False), allow_pickle=False)


def save_text_facts(folder: Path, size: int) -> None:
    """Have our model read a saved base that has `size` rows and nothing beside it."""
    write_facts(SoftFacts(_architecture(folder), {}, tokens=1, first=size, item_scale=1.0), folder)


def _architecture(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0])


def write_facts(facts: SoftFacts, folder: Path) -> None:
    """Name our model, and what it has, in the config of a saved base."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"architectures": [ARCHITECTURE if facts.soft else TEXT_ARCHITECTURE], SECTION: asdict(facts)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _save_weights(weights: dict[str, Tensor], folder: Path, name: str) -> None:
    """Write weights, and name them in the index of a base in several files: vLLM reads only files that the index names."""
    save_file({key: weight.detach().cpu().contiguous() for key, weight in weights.items()}, folder / name)
    index = folder / _INDEX
    if index.is_file():
        content = json.loads(index.read_text(encoding="utf-8"))
        content["weight_map"] |= dict.fromkeys(weights, name)
        index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def soft_reading(folder: Path) -> Reading:
    """Return a function that computes logits of token ids with the items and soft tokens that `folder` has."""
    soft = SoftTokens.open(folder)
    facts = soft.facts
    projectors, centre = load_projectors(folder, facts) if facts.soft else (nn.ModuleDict(), torch.zeros(()))
    items = load_file(folder / ITEMS_WEIGHTS)["items.weight"] if facts.items else None

    def read(model: Any, ids: Tensor) -> Tensor:
        tokens, places = soft.with_placeholders(ids[0].tolist(), {}, {})
        read_ids = torch.tensor(tokens)
        beside = facts.are_items(read_ids)
        embedded = model.get_input_embeddings()(read_ids.masked_fill(beside, 0)[None])
        if items is not None:
            embedded[0, beside] = items[read_ids[beside] - facts.first_item] * facts.embedding_scale
        for place in places:
            vector = torch.from_numpy(np.array(place.vector, np.float32))
            projected = projectors[place.kind](vector[:, :-1], vector[:, -1] > 0)[0]
            rows = (projected + centre) * facts.embedding_scale
            embedded[0, place.offset : place.offset + len(rows)] = rows
        logits: Tensor = model(inputs_embeds=embedded).logits
        return logits

    return read
