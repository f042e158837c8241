"""Untrained models of the tiny world: made once, then read from bytes, which takes an eighth of the time."""

from __future__ import annotations

import io

import torch

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint
from recommender.semantic_ids.codes import SemanticIds


class Untrained:
    """Checkpoints over one catalogue and one base model."""

    def __init__(self, catalogue: Catalogue, features: Features, llm: str) -> None:
        """`llm`: the base that no test changes; what has another one is made anew each time."""
        self.catalogue, self.features, self.llm = catalogue, features, llm
        self._made: dict[str, tuple[bytes, torch.Tensor]] = {}

    def checkpoint(self, levels: int, config: Config) -> Checkpoint:
        """Return one that nobody else has. The state of torch's random numbers is the same behind it, made or read."""
        name = f"{levels} {config.model_dump_json()}"
        if name not in self._made:
            model, tokenizer = self._make(levels, config)
            if config.base.llm == self.llm:
                torch.save((model, tokenizer), file := io.BytesIO())
                self._made[name] = file.getvalue(), torch.get_rng_state()
        else:
            file, state = self._made[name]
            model, tokenizer = torch.load(io.BytesIO(file), weights_only=False)
            model.config, model.features = config, self.features
            torch.set_rng_state(state)
        return Checkpoint(model, tokenizer, self.catalogue, config)

    def _make(self, levels: int, config: Config) -> tuple[RecommenderModel, object]:
        ids = SemanticIds.atomic(len(self.catalogue))
        if levels > 1:
            ids = SemanticIds.fit(self.features.vectors["text"], levels=levels - 1, codebook_size=4)
        llm, tokenizer = load_llm(config.base)
        torch.manual_seed(1)
        return RecommenderModel(llm, ids, self.features, config).eval(), tokenizer
