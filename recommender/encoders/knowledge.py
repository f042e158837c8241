"""Titles -> vectors of what a language model knows by the name: its hidden states as it reads the title.

A text encoder sees what is written about an item; a language model has read about many items elsewhere. Hidden states of
the middle layers carry more of a text's meaning than the last ones, which serve to predict the next word (Skean et al.,
"Layer by layer: uncovering hidden representations in language models", ICML 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from recommender.encoders.encoder import Lazy, loading
from recommender.encoders.text import load_transformer, tokenized, weights_identity

DEPTH = 0.75
"""Depth of the layer that is read, as a share of all layers. `recommender study signal` on MovieLens-1M: see eval/LOG.md."""


class KnowledgeEncoder:
    """A frozen causal language model: an embedded name, a hub name or a local folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = Lazy(lambda: loading(name, "knowledge", self._build))

    @cached_property
    def identity(self) -> str:
        """What the vectors depend on besides the title. Raises AssetError."""
        return f"knowledge-1 {weights_identity(self.name)}"

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError."""
        self._model()

    def prepare(self, source: str) -> str:
        """Titles are taken as they are."""
        return source

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        """Encode titles to [n, hidden] float32: the mean state of the words.

        The first position is left out: whatever it reads, a language model keeps the same large vector there (Xiao et al.,
        "Efficient streaming language models with attention sinks", ICLR 2024). Hence a word is put in front.
        """
        import torch

        (model, tokenizer), depth = self._model()
        tokens = tokenized(tokenizer, [f"Title: {title}" for title in batch]).to(model.device)
        with torch.inference_mode():
            states = model(**tokens, output_hidden_states=True).hidden_states[depth].float()
            mask = tokens["attention_mask"][..., None].float()
            mask[:, 0] = 0
            return ((states * mask).sum(1) / mask.sum(1).clamp(min=1)).cpu().numpy()

    def _build(self) -> tuple[tuple[Any, Any], int]:
        model, tokenizer = load_transformer(self.name, "knowledge")
        return (model, tokenizer), max(round(DEPTH * model.config.num_hidden_layers), 1)
