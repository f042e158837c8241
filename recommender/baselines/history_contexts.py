"""Training of models that represent a user by the recency-weighted mean of the vectors of the history's items.

A user must not be built from the target item, or the model learns to copy. So each position of a history is a training
example of its own: its context, the weighted mean of the items before it, against the item at that position.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recommender.baselines.baseline import FitData
from recommender.baselines.history_matrix import history_matrix
from recommender.baselines.reproducible import reproducible

SampledLoss = Callable[[Tensor, Tensor], Tensor]
"""Scores of the targets [batch] and of sampled items [batch, sampled], -inf for those to ignore -> a scalar loss."""

_MOST_DECAYS = 6.0  # items with a weight of exp(-6) or less are left out


@dataclass(frozen=True)
class TrainingPlan:
    """Epochs, rates and sizes. negatives: items sampled for each batch, without replacement, shared by its examples."""

    epochs: int
    learning_rate: float
    batch: int = 1024
    negatives: int = 512
    weight_decay: float = 0.0


@dataclass(frozen=True)
class ContextBatch:
    """Examples as torch's embedding_bag takes them: the items of all contexts in one row, and where each context starts.

    items, weights: [items of all contexts]; starts, targets: [batch].
    """

    items: Tensor
    weights: Tensor
    starts: Tensor
    targets: Tensor


class ItemEmbedding(nn.Module):
    """A module that computes the items' vectors and biases."""

    @abstractmethod
    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the items' vectors [items, width] and biases [items]."""


class MeanItemModel:
    """Scores any history: the user is the recency-weighted mean of the vectors of its items."""

    def __init__(self, vectors: np.ndarray, biases: np.ndarray, decay: float) -> None:
        """Take vectors [items, width] and biases [items]; an item n before the last weighs exp(-n / decay)."""
        self._vectors, self._biases, self._decay = vectors, biases, decay

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the products of users and items, and the items' biases, float32 [users, items]."""
        rows = history_matrix(histories, len(self._vectors), self._decay)
        totals = np.maximum(rows.sum(axis=1), 1e-12)[:, None]
        return np.asarray((rows @ self._vectors) / totals @ self._vectors.T + self._biases, dtype=np.float32)


def train_mean_item_model(
    name: str, build: Callable[[], ItemEmbedding], loss: SampledLoss, data: FitData, decay: float, plan: TrainingPlan
) -> MeanItemModel:
    """Train an embedding on every position of the histories with Adam. The same data and seed give the same model."""
    generator = np.random.default_rng(data.seed)
    with reproducible(data.seed):
        embedding = build()
        optimiser = torch.optim.Adam(embedding.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        for number in range(plan.epochs):
            for batch in context_batches(data.histories, decay, plan.batch, generator):
                sampled = generator.choice(data.items, min(plan.negatives, data.items), replace=False)
                optimiser.zero_grad()
                loss(*_scores(batch, embedding, torch.from_numpy(sampled))).backward()
                optimiser.step()
            if data.progress is not None:
                data.progress(f"fitting {name}", number + 1, plan.epochs)
        with torch.no_grad():
            vectors, biases = (table.detach().numpy() for table in embedding())
    return MeanItemModel(vectors, biases, decay)


def _scores(batch: ContextBatch, embedding: ItemEmbedding, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores of the targets [batch] and of the negatives [batch, negatives], -inf where that is the target."""
    vectors, biases = embedding()
    users = context_means(batch, vectors)
    target_scores = (users * vectors[batch.targets]).sum(1) + biases[batch.targets]
    negative_scores = users @ vectors[negatives].T + biases[negatives]
    return target_scores, negative_scores.masked_fill(negatives[None, :] == batch.targets[:, None], -torch.inf)


def context_batches(
    histories: Sequence[np.ndarray], decay: float, size: int, generator: np.random.Generator
) -> Iterator[ContextBatch]:
    """Yield every position of every history that has an item before it once, in random order."""
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    flat = np.concatenate([np.empty(0, np.int64), *histories]).astype(np.int64)
    first_positions = np.repeat(np.cumsum(lengths) - lengths, lengths)
    positions = np.arange(len(flat))
    examples = generator.permutation(positions[positions > first_positions])
    ages = np.arange(max(int(np.ceil(_MOST_DECAYS * decay)), 1))
    weights = np.exp(-ages / decay).astype(np.float32)
    for start in range(0, len(examples), size):
        targets = examples[start : start + size]
        context = targets[:, None] - 1 - ages
        exists = context >= first_positions[targets][:, None]
        shares = np.where(exists, weights, 0)
        shares /= shares.sum(axis=1, keepdims=True)
        starts = np.cumsum(exists.sum(axis=1)) - exists.sum(axis=1)
        arrays = (flat[context[exists]], shares[exists], starts, flat[targets])
        yield ContextBatch(*(torch.from_numpy(array) for array in arrays))


def context_means(batch: ContextBatch, table: Tensor) -> Tensor:
    """Return the weighted mean of the rows of `table` [items, width] of each context, [batch, width]."""
    return nn.functional.embedding_bag(batch.items, table, batch.starts, mode="sum", per_sample_weights=batch.weights)


def warp_loss(target_scores: Tensor, negative_scores: Tensor) -> Tensor:
    """Return the weighted approximate-rank pairwise loss: log(1 + rank) times the hinge to an item within the margin of 1.

    Weston, Bengio and Usunier, "WSABIE: scaling up to large vocabulary image annotation", IJCAI 2011. The paper samples
    until it finds one violator; here it is the mean over all violators of the sample, which is the same in expectation.
    """
    hinge = torch.relu(1 - target_scores[:, None] + negative_scores)
    violators = (hinge > 0).sum(1)
    return (torch.log1p(violators.float()) * hinge.sum(1) / violators.clamp(min=1)).mean()


def sampled_cross_entropy(target_scores: Tensor, negative_scores: Tensor) -> Tensor:
    """Return the cross-entropy of the target among itself and the sampled items."""
    logits = torch.cat([target_scores[:, None], negative_scores], dim=1)
    return (torch.logsumexp(logits, dim=1) - target_scores).mean()


def sparse_tensor(matrix: sp.csr_array) -> Tensor:
    """Return a scipy matrix as a sparse tensor of torch."""
    entries = matrix.tocoo()
    indices = np.stack([entries.row, entries.col]).astype(np.int64)
    return torch.sparse_coo_tensor(indices, entries.data, entries.shape, check_invariants=False).coalesce()
