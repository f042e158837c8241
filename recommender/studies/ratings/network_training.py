"""Training of networks that predict ratings: class weights, L1 and L2, early stopping on the validation rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from recommender.studies.ratings.folds import Fold, FoldPart
from recommender.studies.ratings.fusion_networks import FUSIONS, Gating, Tensors
from recommender.studies.ratings.predictions import Prediction, class_weights, unweighted
from recommender.studies.ratings.settings import RatingsSettings

_ROWS_AT_ONCE = 8192  # in prediction


class RowModel(Protocol):
    """The interface for training: batches of the rows to fit on, and logits of rows of a part."""

    module: nn.Module

    def batches(self, generator: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        """Yield row numbers of `fit`, each once, in a random order."""

    def logits(self, part: str, rows: np.ndarray) -> list[torch.Tensor]:
        """Return a list of logits [n, classes] of rows of "fit", "validation" or "test"; the last is the prediction."""


class BlockModel:
    """A fusion over a fold's blocks."""

    def __init__(self, kind: type[nn.Module], fold: Fold, settings: RatingsSettings) -> None:
        self.blocks = {name: _tensors(getattr(fold, name)) for name in ("fit", "validation", "test")}
        widths = {name: block.shape[1] for name, block in self.blocks["fit"].items()}
        self.rows = len(fold.fit)
        self.module = kind(widths, len(fold.levels), settings)

    def batches(self, generator: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        """Yield shuffled rows."""
        yield from np.split(generator.permutation(self.rows), range(size, self.rows, size))

    def logits(self, part: str, rows: np.ndarray) -> list[torch.Tensor]:
        """Run the fusion."""
        indices = torch.from_numpy(rows)
        return self.module({name: block[indices] for name, block in self.blocks[part].items()})


def train_fusion(name: str, fold: Fold, settings: RatingsSettings) -> Prediction:
    """Train one of the fusions on a fold and predict the test rows."""
    torch.manual_seed(fold.seed)
    model = BlockModel(FUSIONS[name], fold, settings)
    prediction = predict(model, fold, fit(model, fold, settings))
    return replace(prediction, weights=_shares(model.module, model.blocks["test"]))


@torch.no_grad()
def _shares(module: nn.Module, blocks: Tensors) -> dict[str, float] | None:
    """Return the mean weight of each modality; None for a network without such weights."""
    if not isinstance(module, Gating):
        return None
    return dict(zip(blocks, module.eval().weights(blocks).mean(dim=0).tolist(), strict=True))


def fit(model: RowModel, fold: Fold, settings: RatingsSettings) -> np.ndarray:
    """Train until the validation loss has not fallen for `patience` epochs, and keep the best epoch.

    Returns the class weights. The validation loss, too, is cross entropy with class weights, so that rare ratings
    count.
    """
    count = len(fold.levels)
    weights = class_weights(fold.fit.classes, count) if settings.class_weights else np.ones(count)
    costs = torch.tensor(weights, dtype=torch.float32)
    classes = torch.from_numpy(fold.fit.classes.astype(np.int64))
    optimiser = torch.optim.AdamW(model.module.parameters(), settings.learning_rate, weight_decay=settings.l2)
    generator = np.random.default_rng(fold.seed)
    best_loss, best_state, waited = np.inf, copy.deepcopy(model.module.state_dict()), 0
    for _ in range(settings.epochs):
        model.module.train()
        for rows in model.batches(generator, settings.batch):
            outputs = model.logits("fit", rows)
            target = classes[torch.from_numpy(rows)]
            loss = torch.stack([cross_entropy(logits, target, costs) for logits in outputs]).mean()
            optimiser.zero_grad()
            (loss + settings.l1 * _absolute(model.module)).backward()
            optimiser.step()
        validation_loss = _validation_loss(model, fold.validation, costs)
        if validation_loss < best_loss - 1e-4:
            best_loss, best_state, waited = validation_loss, copy.deepcopy(model.module.state_dict()), 0
        else:
            waited += 1
        if waited >= settings.patience:
            break
    model.module.load_state_dict(best_state)
    return weights


def predict(model: RowModel, fold: Fold, weights: np.ndarray) -> Prediction:
    """Predict the test rows; the effect of the class weights on the probabilities is undone."""
    probabilities = torch.softmax(_logits(model, "test", len(fold.test)), dim=1).double().numpy()
    return Prediction.of(unweighted(probabilities, weights), fold.levels, fold.likes)


def _validation_loss(model: RowModel, part: FoldPart, costs: torch.Tensor) -> float:
    target = torch.from_numpy(part.classes.astype(np.int64))
    return float(cross_entropy(_logits(model, "validation", len(part)), target, costs))


@torch.no_grad()
def _logits(model: RowModel, part: str, count: int) -> torch.Tensor:
    model.module.eval()
    chunks = np.split(np.arange(count), range(_ROWS_AT_ONCE, count, _ROWS_AT_ONCE))
    return torch.cat([model.logits(part, rows)[-1] for rows in chunks])


def _absolute(module: nn.Module) -> torch.Tensor:
    """Return the sum of the absolute weights, without biases."""
    return torch.stack([p.abs().sum() for p in module.parameters() if p.dim() > 1]).sum()


def _tensors(part: FoldPart) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(block) for name, block in part.blocks.items()}
