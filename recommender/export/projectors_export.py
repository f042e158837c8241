"""Exports what makes soft tokens: projectors beside the base's weights, and the catalogue's vectors."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recommender.adapters.projectors import Projector
from recommender.export.merge import Reading
from recommender.model.network import RecommenderModel
from recommender.vllm_plugin.soft_tokens import ARCHITECTURE, SECTION, SoftFacts, SoftTokens, vectors_file

WEIGHTS = "projectors.safetensors"
_INDEX = "model.safetensors.index.json"


def placeholders(model: RecommenderModel) -> tuple[str, ...]:
    """Return the placeholder tokens of soft tokens, one for each modality."""
    return tuple(f"<|{m}|>" for m in model.soft_modalities)


def save_projectors(model: RecommenderModel, first: int, folder: Path) -> None:
    """Write projectors and vectors into the folder of a saved base; without soft modalities nothing changes.

    `first`: the id of the first placeholder.
    """
    if not model.soft_modalities:
        return
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    widths = {str(m): model.features.vectors[m].shape[1] for m in model.soft_modalities}
    settings = model.config
    architecture, tokens = config["architectures"][0], settings.prompt.soft_tokens
    facts = SoftFacts(architecture, widths, tokens, first, settings.base.item_scale, model.embedding_scale)
    config |= {"architectures": [ARCHITECTURE], SECTION: asdict(facts)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = {f"projectors.{m}.{n}": w for m in widths for n, w in model.projectors[m].state_dict().items()}
    weights["centre"] = model.centre
    save_file({name: w.detach().cpu().contiguous() for name, w in weights.items()}, folder / WEIGHTS)
    _list_weights(folder / _INDEX, list(weights))
    for m in model.soft_modalities:
        table = np.concatenate([model.features.vectors[m], model.features.present[m][:, None]], 1)
        np.save(folder / vectors_file(m), table.astype(np.float16), allow_pickle=False)


def _list_weights(index: Path, names: list[str]) -> None:
    """Add the weights to the index of a base in several files: vLLM reads only files that the index names."""
    if index.is_file():
        content = json.loads(index.read_text(encoding="utf-8"))
        content["weight_map"] |= dict.fromkeys(names, WEIGHTS)
        index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def soft_reading(folder: Path) -> Reading:
    """Return a function that computes logits of token ids with the soft tokens that `folder` has the vectors for."""
    soft = SoftTokens.open(folder)
    facts = soft.facts
    weights = load_file(folder / WEIGHTS) if facts.soft else {}
    projectors = {kind: _projector(facts, kind, weights) for kind in facts.soft}

    def read(model: Any, ids: Tensor) -> Tensor:
        tokens, places = soft.with_placeholders(ids[0].tolist(), {}, {})
        embedded = model.get_input_embeddings()(torch.tensor([tokens]))
        for place in places:
            vector = torch.from_numpy(np.array(place.vector, np.float32))
            projected = projectors[place.kind](vector[:, :-1], vector[:, -1] > 0)[0]
            rows = (projected + weights["centre"]) * facts.embedding_scale
            embedded[0, place.offset : place.offset + facts.tokens] = rows
        logits: Tensor = model(inputs_embeds=embedded).logits
        return logits

    return read


def _projector(facts: SoftFacts, kind: str, weights: dict[str, Tensor]) -> Projector:
    head = f"projectors.{kind}."
    hidden = weights["centre"].shape[0]
    projector = Projector(facts.soft[kind], hidden, facts.tokens, 1.0)
    projector.load_state_dict({n.removeprefix(head): w for n, w in weights.items() if n.startswith(head)})
    return projector.eval()
