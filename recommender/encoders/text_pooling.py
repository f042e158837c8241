"""States of a text's tokens -> one vector, as the model was trained to give it: `1_Pooling` of sentence-transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recommender.encoders.model_folders import settings_of
from recommender.errors import AssetError

MEAN, FIRST, LAST, MAX = "mean", "cls", "lasttoken", "max"
_FLAGS = {
    "pooling_mode_mean_tokens": MEAN,
    "pooling_mode_cls_token": FIRST,
    "pooling_mode_lasttoken": LAST,
    "pooling_mode_max_tokens": MAX,
}


def pooling_of(folder: Path) -> str:
    """Return how the states of a folder's model become one vector: as its `1_Pooling` says, else by their mean.

    Raises AssetError for several ways at once, ways that are not known here, and layers behind the pooling.
    """
    if any((path / "config.json").is_file() for path in folder.glob("[0-9]_Dense*")):
        raise AssetError(
            f"encoders.text: {folder} has a dense layer behind the pooling, which is not read here",
            "encode with sentence-transformers and give vectors: encoders.text: {vectors: FILE}",
        )
    settings = settings_of(folder / "1_Pooling")
    said = settings.get("pooling_mode")
    chosen = [mode for mode, on in settings.items() if mode.startswith("pooling_mode_") and on is True]
    ways = [str(said)] if isinstance(said, str) else [_FLAGS.get(mode, mode) for mode in chosen]
    if not ways:
        return MEAN
    if len(ways) > 1 or ways[0] not in _FLAGS.values():
        raise AssetError(
            f"encoders.text: {folder} pools by {' and '.join(ways)}, expected one of {', '.join(_FLAGS.values())}",
            "encode with sentence-transformers and give vectors: encoders.text: {vectors: FILE}",
        )
    return ways[0]


def states_of(model: Any, tokens: Mapping[str, Tensor]) -> Tensor:
    """Return the states [n, positions, width] float32 of tokenised texts; [n, width] of a tower with a vector of its own."""
    if hasattr(model, "get_text_features"):
        found = model.get_text_features(**tokens)
        return (found if isinstance(found, Tensor) else found.pooler_output).float()
    reader = model.get_encoder() if model.config.is_encoder_decoder else model
    return reader(**tokens).last_hidden_state.float()


def pool(states: Tensor, tokens: Mapping[str, Tensor], how: str) -> Tensor:
    """Return one vector a text [n, width] of its `states` [n, positions, width]; padding on the right counts for nothing."""
    if states.ndim == 2:
        return states
    attended = tokens["attention_mask"]
    if how == FIRST:
        return states[:, 0]
    if how == LAST:
        return states[torch.arange(len(states)), attended.sum(dim=1) - 1]
    mask = attended[..., None].float()
    if how == MAX:
        return states.masked_fill(mask == 0, -torch.inf).amax(dim=1)
    return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
