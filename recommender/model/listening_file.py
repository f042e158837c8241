"""The file of a checkpoint that holds what listens: LoRA, maps, biases, and what is known of the items."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from recommender.adapters.lora import listening_shapes
from recommender.errors import CheckpointError
from recommender.model.adapter_file import check_finite
from recommender.model.listening import WIDTH, Listener
from recommender.model.network import RecommenderModel, is_listening_parameter
from recommender.strict.tensor_files import AGAIN, check_shapes, check_types, read_header

LISTENING = "listening.safetensors"
_SENTENCES = "sentence_width"
_BASE, _BUFFERS = "peft.base_model.model.", ("listener.known", "listener.read_mean", "listener.read_basis")


def save_listening(model: RecommenderModel, path: Path) -> None:
    """Write what listens, rounded to float16."""
    tensors = {n.removeprefix(_BASE): p for n, p in model.named_parameters() if is_listening_parameter(n)}
    tensors |= {name: value for name, value in model.named_buffers() if name in _BUFFERS}
    metadata = {} if model.listener is None else {_SENTENCES: str(model.listener.sentence_width)}
    save_file({n: t.detach().to("cpu", torch.float16).contiguous() for n, t in tensors.items()}, path, metadata)


def load_listening(model: RecommenderModel, path: Path) -> None:
    """Give a model what listens. Raises CheckpointError for a file that does not fit its base, items and config."""
    header = read_header(path)
    check_types(path, header)
    expected: dict[str, tuple[int, ...]] = dict(listening_shapes(model.llm, model.config.lora, model.listening_layers))
    items, hidden = len(model.codes), model.hidden_size
    found = header["listener.known"].shape if "listener.known" in header else ()
    if len(found) != 2 or found[0] != items:
        raise CheckpointError(f"{path}: knows other items than the checkpoint", AGAIN)
    width = found[1] + hidden
    expected |= {"listener.bias": (items,), "listener.scale": (), "listener.query.weight": (WIDTH, hidden)}
    expected |= {"listener.key.weight": (WIDTH, width), "listener.enter.weight": (hidden, width)}
    check_shapes(path, header, expected)
    saved = load_file(path)
    check_finite(path, saved)
    known, mean, basis = (saved.pop(name).float().numpy() for name in _BUFFERS)
    width = _sentence_width(path)
    model.add_listener(Listener(model.llm.model.norm, hidden, known, mean, basis, sentence_width=width))
    parameters = {n.removeprefix(_BASE): p for n, p in model.named_parameters() if is_listening_parameter(n)}
    if set(parameters) != set(saved) or any(p.shape != saved[n].shape for n, p in parameters.items()):
        raise CheckpointError(f"{path}: does not fit the base model and config", AGAIN)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])


def read_start(path: Path) -> dict[str, torch.Tensor]:
    """Return what a model that listens has learned, by name, for another one to begin from. Raises CheckpointError."""
    check_types(path, read_header(path))
    saved = load_file(path)
    check_finite(path, saved)
    return saved


def begin_from(model: RecommenderModel, saved: dict[str, torch.Tensor], path: Path) -> None:
    """Give a new listener what another one has learned; the biases are of items, and stay.

    Of maps from the items' content only those of the same widths fit. Raises CheckpointError if the LoRA is of another base,
    depth or rank.
    """
    parameters = {n.removeprefix(_BASE): p for n, p in model.named_parameters() if is_listening_parameter(n)}
    others = [n for n, p in parameters.items() if "lora_" in n and (n not in saved or saved[n].shape != p.shape)]
    if others:
        raise CheckpointError(
            f"{path}: its LoRA does not fit this model ({others[0]})",
            "begin from a checkpoint of the same base, base.converse_layers and lora",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name != "listener.bias" and name in saved and saved[name].shape == parameter.shape:
                parameter.copy_(saved[name])


def _sentence_width(path: Path) -> int:
    """Return how much of the items' content is of a sentence encoder, 0 where the file does not say."""
    with safe_open(path, framework="numpy") as file:
        told = (file.metadata() or {}).get(_SENTENCES, "0")
    return int(told) if told.isdigit() else 0
