"""Places of histories as training examples of models whose user is a weighted mean of items, and how these are trained.

A user must not be built from the item that is to be found, or the model learns to copy. So each place of a history is an
example of its own: the mean of what came before it, by recency, against the item that stands there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recommender.baselines.baseline import FitData, profiles
from recommender.baselines.reproducible import reproducible

Loss = Callable[[Tensor, Tensor], Tensor]
"""Scores of the targets [batch] and of sampled items [batch, sampled], -inf where these must not count -> a scalar."""

_REACH = 6.0  # a weight of exp(-6) and less is left out


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train. negatives: items sampled a batch, without replacement, for all its examples."""

    epochs: int
    learning_rate: float
    batch: int = 1024
    negatives: int = 512
    weight_decay: float = 0.0


@dataclass(frozen=True)
class ContextBatch:
    """Examples in the layout of torch's embedding_bag: items of all contexts in a row, and where each begins."""

    items: Tensor
    weights: Tensor
    starts: Tensor
    targets: Tensor


class Tables(nn.Module):
    """What learns the items' vectors."""

    @abstractmethod
    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the items' vectors [items, width] and biases [items]."""


class MeanOfItems:
    """A user as the recency-weighted mean of the items of a history: any history can be scored."""

    def __init__(self, vectors: np.ndarray, biases: np.ndarray, decay: float) -> None:
        """Take vectors [items, width] and biases [items]; an item n before the last weighs exp(-n / decay)."""
        self._vectors, self._biases, self._decay = vectors, biases, decay

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the products of users and items, and the items' biases, float32 [users, items]."""
        rows = profiles(histories, len(self._vectors), self._decay)
        totals = np.maximum(rows.sum(axis=1), 1e-12)[:, None]
        return np.asarray((rows @ self._vectors) / totals @ self._vectors.T + self._biases, dtype=np.float32)


def train(
    name: str, build: Callable[[], Tables], loss: Loss, data: FitData, decay: float, plan: TrainingPlan
) -> MeanOfItems:
    """Train tables on every place of the histories with Adam. The same data and seed give the same model."""
    generator = np.random.default_rng(data.seed)
    with reproducible(data.seed):
        tables = build()
        optimiser = torch.optim.Adam(tables.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        for number in range(plan.epochs):
            for batch in batches(data.histories, decay, plan.batch, generator):
                vectors, biases = tables()
                users = mean_of(batch, vectors)
                sampled = generator.choice(data.items, min(plan.negatives, data.items), replace=False)
                negatives = torch.from_numpy(sampled)
                wanted = (users * vectors[batch.targets]).sum(1) + biases[batch.targets]
                others = users @ vectors[negatives].T + biases[negatives]
                others = others.masked_fill(negatives[None, :] == batch.targets[:, None], -torch.inf)
                optimiser.zero_grad()
                loss(wanted, others).backward()
                optimiser.step()
            if data.progress is not None:
                data.progress(f"fitting {name}", number + 1, plan.epochs)
        with torch.no_grad():
            vectors, biases = (table.detach().numpy() for table in tables())
    return MeanOfItems(vectors, biases, decay)


def batches(
    histories: Sequence[np.ndarray], decay: float, size: int, generator: np.random.Generator
) -> Iterator[ContextBatch]:
    """Yield every place of every history that has something before it once, in random order."""
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    flat = np.concatenate([np.empty(0, np.int64), *histories]).astype(np.int64)
    begins = np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.arange(len(flat))
    examples = generator.permutation(places[places > begins])
    ages = np.arange(max(int(np.ceil(_REACH * decay)), 1))
    weights = np.exp(-ages / decay).astype(np.float32)
    for start in range(0, len(examples), size):
        some = examples[start : start + size]
        before = some[:, None] - 1 - ages
        there = before >= begins[some][:, None]
        shares = np.where(there, weights, 0)
        shares /= shares.sum(axis=1, keepdims=True)
        starts = np.cumsum(there.sum(axis=1)) - there.sum(axis=1)
        parts = (flat[before[there]], shares[there], starts, flat[some])
        yield ContextBatch(*(torch.from_numpy(part) for part in parts))


def mean_of(batch: ContextBatch, table: Tensor) -> Tensor:
    """Return the weighted mean of the rows of `table` [items, width] of each context, [batch, width]."""
    return nn.functional.embedding_bag(batch.items, table, batch.starts, mode="sum", per_sample_weights=batch.weights)


def warp(wanted: Tensor, others: Tensor) -> Tensor:
    """Weighted approximate-rank pairwise loss: log(1 + rank) times the hinge to an item that violates the margin of 1.

    Weston, Bengio and Usunier, "WSABIE: scaling up to large vocabulary image annotation", IJCAI 2011. In place of one
    violator that is drawn until found, the mean over all violators of the sample: the same in expectation.
    """
    hinge = torch.relu(1 - wanted[:, None] + others)
    violators = (hinge > 0).sum(1)
    return (torch.log1p(violators.float()) * hinge.sum(1) / violators.clamp(min=1)).mean()


def softmax(wanted: Tensor, others: Tensor) -> Tensor:
    """Cross-entropy of the target among the sampled items."""
    return (torch.logsumexp(torch.cat([wanted[:, None], others], dim=1), dim=1) - wanted).mean()


def sparse_tensor(matrix: sp.csr_array) -> Tensor:
    """Return a scipy matrix as a sparse tensor of torch."""
    places = matrix.tocoo()
    indices = np.stack([places.row, places.col]).astype(np.int64)
    return torch.sparse_coo_tensor(indices, places.data, places.shape, check_invariants=False).coalesce()
