"""The model as a writer: all its layers with the adapter `explain`, laid out for inference until weights change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.inference.layers import FusedStack, Stack, make_stack
from recommender.inference.matrices import matrix, merged
from recommender.inference.text_generation import Pause, TextGeneration
from recommender.inference.weight_cache import version_of
from recommender.model.architecture import WordScores
from recommender.model.network import RecommenderModel


class Writer:
    """Begins texts. Only who holds the model may let it write: a base that is run by its own code has one active adapter."""

    def __init__(self, model: RecommenderModel) -> None:
        """Write with `model`; nothing is computed yet."""
        self._model = model
        self._version: tuple[Any, ...] = ()
        self._layers: tuple[Stack, Callable[[Tensor], Tensor]] | None = None

    def begin(self) -> None:
        """Let the model write."""
        if self._layers is None or version_of(self._model.llm.parameters()) != self._version:
            self._lay_out()
        self._activate(EXPLAIN)

    def end(self) -> None:
        """Let the model rank."""
        self._activate(RANK)

    def texts(self, prompts: Sequence[np.ndarray], pause: Pause) -> TextGeneration:
        """Read prompts, token ids [positions] each, between `begin` and `end`; `pause` is called before each layer."""
        if self._layers is None:
            raise RuntimeError("begin() comes first")
        return TextGeneration(self._layers[0], self._model.llm.get_input_embeddings(), self._layers[1], prompts, pause)

    def _activate(self, adapter: str) -> None:
        if self._layers and not isinstance(self._layers[0], FusedStack):
            self._model.use_adapter(adapter)

    @torch.no_grad()
    def _lay_out(self) -> None:
        llm = self._model.llm
        self._model.use_adapter(EXPLAIN)
        self._layers = (
            make_stack(llm.model, llm.model.norm, llm, EXPLAIN),
            _head(llm.get_output_embeddings(), self._model.word_scores),
        )
        self._model.use_adapter(RANK)
        self._version = version_of(llm.parameters())


def _head(module: nn.Module, scores: WordScores) -> Callable[[Tensor], Tensor]:
    """Return what makes logits of hidden states, laid out where the head is a plain matrix."""
    dtype = next(module.parameters()).dtype
    try:
        laid_out = matrix([merged(module, EXPLAIN)])
    except ValueError:
        laid_out = module

    def logits(hidden: Tensor) -> Tensor:
        return scores(laid_out(hidden.to(dtype)))

    return logits
