"""Texts -> vectors: a transformers encoder, mean pooling over the tokens, unit length, as in sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from recommender import assets
from recommender.encoders.encoder import Lazy, best_device, embedded_identity, files_hash, loading

MAX_TOKENS = 256
_FILES = ("*.json", "*.txt", "*.safetensors", "*.bin", "*.model")


class TextEncoder:
    """A frozen transformers model: an embedded name, a hub name or a local folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = Lazy(lambda: loading(name, "text", self._build))

    @cached_property
    def identity(self) -> str:
        """What the vectors depend on besides the text."""
        return f"text-1 {weights_identity(self.name)}"

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError."""
        self._model()

    def prepare(self, source: str) -> str:
        """Texts are taken as they are; what exceeds 256 tokens is not read."""
        return source

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        """Encode texts to [n, width] float32 of unit length."""
        import torch

        model, tokenizer = self._model()
        tokens = tokenized(tokenizer, batch).to(model.device)
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.float()
            mask = tokens["attention_mask"][..., None].float()
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            return torch.nn.functional.normalize(pooled).cpu().numpy()

    def _build(self) -> tuple[Any, Any]:
        return load_transformer(self.name)


def weights_identity(name: str) -> str:
    """Return what identifies a model that reads text and its tokenizer. Raises AssetError."""
    if assets.is_embedded(name):
        return embedded_identity(name)
    folder = assets.fetch(name)
    return files_hash(file for kind in _FILES for file in folder.glob(kind))


def load_transformer(name: str) -> tuple[Any, Any]:
    """Return a model without a head, in float32, and its tokenizer. Raises whatever transformers raises."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    folder = assets.fetch(name)
    transformers_logging.disable_progress_bar()  # the caller reports progress
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="right")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval().to(best_device()), tokenizer


def tokenized(tokenizer: Any, texts: Sequence[str]) -> Any:
    """Return texts as one padded batch; what exceeds 256 tokens is not read."""
    longest = min(MAX_TOKENS, tokenizer.model_max_length)
    return tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
