"""The saved state of a training run, from which a killed run resumes to the same result."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recommender import assets
from recommender.config import MODALITIES, Config
from recommender.data.mapped_histories import MappedHistories
from recommender.errors import RecommenderError
from recommender.files import replacing
from recommender.model.checkpoint import resolve
from recommender.model.manifest import weights_of
from recommender.model.network import is_adapter_parameter
from recommender.prompts import template_hashes
from recommender.training.epochs import TrainingData

logger = logging.getLogger(__name__)
STATE = "training-state.pt"
STAGE_ENDS = "stage-*.pt"
#: settings that leave the result as it is, and names of what is compared by its content
_NOT_DECISIVE = (
    "serving.",
    "encoders.cache",
    "encoders.batch_size",
    "training.checkpoint_minutes",
    "training.forgetting.scale",
    "training.gradient_",
    "training.rows_device",
    "data.items",
    "data.interactions",
    "base.llm",
    "base.adapter",
    "update.",
    *(f"encoders.{modality}.{key}" for modality in MODALITIES for key in ("vectors", "ids", "item_id", "column")),
)
_ABSENT = "not there"
FIELDS = ("number", "stage", "step", "epoch", "loss", "learning_rate", "positions_per_second", "validation")


_FORMAT = 2  # goes up when the facts of a run are told or hashed otherwise, for then no older state compares
_OF_ANOTHER_VERSION: dict[str, Any] = {"position": {"stage": 0, "step": 1}}
_MOST_SAID = 5
_MOST_HASHED = 10_000


@dataclass
class Position:
    """How far a run has come: the stage's index, its next step, its best validation, and how many were no better since."""

    stage: int = 0
    step: int = 0
    best: float | None = None
    waited: int = 0
    #: minutes spent in each stage, by its index, over all processes of a run that was killed and resumed
    minutes: dict[str, float] = field(default_factory=dict)
    #: where a stage that is streamed stands: its index and the place (epoch, group, first batch); see `streaming`
    stream: dict[str, int] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)


def trainable(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all parameters that any stage may train: LoRA, rows, projectors, ranking norm.

    Where processes hold parts of them, all must ask.
    """
    return {n: _whole(p.detach()).cpu().clone() for n, p in model.named_parameters() if is_adapter_parameter(n)}


def restore(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Copy values returned by `trainable` back into the model."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(as_part(value, parameters[name]))


def is_part(value: Any) -> bool:
    """Whether a tensor is this process's part of one that all hold together: a DTensor, which takes a second to import."""
    return hasattr(value, "full_tensor")


def _whole(parameter: Any) -> Any:
    return parameter.full_tensor() if is_part(parameter) else parameter


def as_part(value: torch.Tensor, like: Any) -> torch.Tensor:
    """Return the part of a whole tensor that this process holds, where `like` is cut; else the tensor as it is."""
    if not is_part(like):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    whole, mesh = value.to(like.device_mesh.device_type, like.dtype), like.device_mesh
    part = distribute_tensor(whole, mesh, like.placements, src_data_rank=None).to_local().to(like.to_local().device)
    return DTensor.from_local(part, mesh, like.placements, shape=like.shape, stride=like.stride())


def facts_of(config: Config, data: TrainingData, model: nn.Module) -> dict[str, Any]:
    """Return what decides the result of a run: settings by their dotted keys, and hashes of what it learns from.

    Names of files are not among them: what they hold is.
    """
    settings = {key: value for key, value in _flat(config.model_dump(mode="json")).items() if _decides(key)}
    catalogue, split = data.builder.catalogue, data.split
    on_disk = isinstance(split.train.items, MappedHistories)  # of these the hash of the histories says it all
    hashes = {
        "prompts": _hash(sorted(template_hashes().items())),
        "items": _hash([catalogue.fingerprint, *(catalogue.document(i) for i in range(len(catalogue)))]),
        "interactions": _hash_of(split.train.items),
        "validation targets": _hash(
            split.validation.tolist() if not on_disk else split.validation[:_MOST_HASHED].tolist()
        ),
        "justifications": _hash(list(data.explanations)),
        "conversations": None if data.conversations is None else data.conversations.identity,
        "base model": _hash([assets.identity(config.base.llm), *_digests(model)]),
    }
    if data.learned is not None:
        hashes["learned interactions"] = hashlib.sha256(data.learned.tobytes()).hexdigest()
    if data.start is not None:
        hashes["start"] = data.start
    if config.base.adapter:
        hashes["base.adapter"] = _hash(sorted(weights_of(resolve(config.base.adapter)).items()))
    return {"settings": settings, "hashes": hashes | {f"encoded {m}": digest for m, digest in data.sources.items()}}


def _hash_of(histories: Sequence[np.ndarray]) -> str:
    """Return a hash of histories; those that lie on disk have one."""
    if isinstance(histories, MappedHistories):
        return histories.digest
    return _hash([[len(items), *items.tolist()] for items in histories])


def _decides(key: str) -> bool:
    return not key.startswith(_NOT_DECISIVE)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _digests(model: nn.Module) -> list[tuple[str, str]]:
    """Return a hash of every frozen parameter, whole and in order."""
    frozen = [(name, p.detach()) for name, p in model.named_parameters() if not is_adapter_parameter(name)]
    return [(name, hashlib.sha256(_bytes(p)).hexdigest()) for name, p in frozen]


def _bytes(values: torch.Tensor) -> Any:
    return values.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings and lists by dotted keys."""
    if isinstance(tree, dict | list) and tree:
        inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, value in inner for k, v in _flat(value, f"{prefix}{key}.").items()}
    return {prefix.removesuffix("."): tree}


def differences(then: Mapping[str, Any], now: Mapping[str, Any], stages: int | None = None) -> list[str]:
    """Return in words what differs between the facts of two runs; `stages`: of so many of their stages, by default all."""
    old, new = then["settings"], now["settings"]
    keys = [key for key in dict.fromkeys([*new, *old]) if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    said = [
        f"{key} is {new.get(key, _ABSENT)}, was {old.get(key, _ABSENT)}"
        for key in keys
        if stages is None or _stage_of(key) < stages
    ]
    names = dict.fromkeys([*now["hashes"], *then["hashes"]])
    return said + [f"other {n} than then" for n in names if now["hashes"].get(n) != then["hashes"].get(n)]


def _stage_of(key: str) -> int:
    """Return the number of the stage that a setting belongs to; -1 for one of all stages."""
    parts = key.split(".")
    return int(parts[2]) if key.startswith("training.stages.") else -1


def write(
    path: Path,
    facts: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, Any] | None,
    position: Position,
    best: Mapping[str, torch.Tensor],
    steps: int = 0,
) -> None:
    """Write the whole state atomically. `weights`: of `trainable`; `steps`: how many the stage has; for people."""
    state = {
        "format": _FORMAT,
        "facts": dict(facts),
        "model": dict(weights),
        "optimizer": None if optimizer is None else dict(optimizer),
        "position": asdict(position),
        "best": dict(best),
        "steps": steps,
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def read(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the furthest state in a folder that a run with these facts may go on from, or None if there is no state.

    Stages that were finished with the settings of this run are kept, also where later ones have others now. Raises
    RecommenderError that names what differs if no state fits.
    """
    states = sorted(map(_load, [*folder.glob(STAGE_ENDS), folder / STATE][::-1]), key=_progress, reverse=True)
    states = [state for state in states if state]
    if any(state is _OF_ANOTHER_VERSION for state in states):
        raise RecommenderError(
            f"{folder}: holds a training that another version of recommender began, which this one cannot go on with",
            f"finish it with that version, or remove {folder} to start anew",
        )
    for state in states:
        if not differences(state["facts"], facts, _stages_used(state)):
            if state is not states[0]:
                changed = _first(differences(states[0]["facts"], facts))
                logger.warning("%s: %s", folder, changed)
                logger.warning("stages 1 to %d are kept, the others begin anew", state["position"]["stage"])
            return state
    if states:
        changed = _first(differences(states[0]["facts"], facts, _stages_used(states[0])))
        raise RecommenderError(
            f"{folder}: the state of a run with another configuration or other data: {changed}",
            f"set it back to go on with that run, or remove {folder} to start anew",
        )
    return None


def _first(said: list[str]) -> str:
    more = f"; and {len(said) - _MOST_SAID} more" if len(said) > _MOST_SAID else ""
    return "; ".join(said[:_MOST_SAID]) + more


def _load(path: Path) -> dict[str, Any]:
    """Return a state, {} if there is none. Raises RecommenderError if it cannot be read."""
    if not path.is_file():
        return {}
    try:
        state = dict(torch.load(path, weights_only=True))
        if state.get("format") != _FORMAT:
            return _OF_ANOTHER_VERSION
        _progress(state), state["facts"]["settings"], state["facts"]["hashes"]
        return state
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError):
        raise RecommenderError(f"{path}: is damaged", f"remove {path.parent} to start anew") from None


def _progress(state: Mapping[str, Any]) -> tuple[int, int]:
    return (state["position"]["stage"], state["position"]["step"]) if state else (-1, 0)


def _stages_used(state: Mapping[str, Any]) -> int:
    """Return how many stages have had a part in a state."""
    return int(state["position"]["stage"]) + (state["position"]["step"] > 0)


def progress_of(folder: Path) -> str:
    """Return in words how far the run of a work folder has come, and how to go on."""
    state = max(map(_load, [*folder.glob(STAGE_ENDS), folder / STATE]), key=_progress, default={})
    if not state:
        return "no step had been saved; the same command begins anew"
    if state is _OF_ANOTHER_VERSION:
        return f"{folder} holds a training that another version of recommender began"
    position = state["position"]
    of = f" of {state['steps']}" if state["steps"] else ""
    where = f"stage {position['stage'] + 1}, step {position['step']}{of}"
    return f"the run is kept in {folder} ({where}); the same command goes on from there"


def write_log(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the training log as CSV, atomically."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
