"""Texts -> vectors: a transformers encoder, mean pooling over the tokens, unit length (sentence-transformers' way)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recommender import assets
from recommender.encoders.base import Lazy, best_device, embedded_identity, files_hash, loading

MAX_TOKENS = 256
_FILES = ("*.json", "*.txt", "*.safetensors", "*.bin", "*.model")


class TextEncoder:
    """A frozen transformers model: an embedded name, a hub name or a local folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = Lazy(lambda: loading(name, "text", self._build))

    @cached_property
    def folder(self) -> Path:
        """The folder of the model. Raises AssetError."""
        return assets.fetch(self.name)

    @cached_property
    def identity(self) -> str:
        """What decides the vectors."""
        if assets.is_embedded(self.name):
            return f"text-1 {embedded_identity(self.name)}"
        return f"text-1 {files_hash(file for kind in _FILES for file in self.folder.glob(kind))}"

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
        tokens = tokenizer(
            list(batch), padding=True, truncation=True, max_length=self._limit(tokenizer), return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.float()
            mask = tokens["attention_mask"][..., None].float()
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            return torch.nn.functional.normalize(pooled).cpu().numpy()

    @staticmethod
    def _limit(tokenizer: Any) -> int:
        return min(MAX_TOKENS, tokenizer.model_max_length)

    def _build(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # progress is told by whoever asked for the vectors
        model = AutoModel.from_pretrained(self.folder, local_files_only=True, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, padding_side="right")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return model.eval().to(best_device()), tokenizer
