"""LightGCN in torch: a graph of users and items, with the items' text, image and audio vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recommender.baselines.baseline import FitData
from recommender.baselines.content import concatenated_vectors
from recommender.baselines.history_contexts import (
    ItemEmbedding,
    TrainingPlan,
    sampled_cross_entropy,
    sparse_tensor,
    train_mean_item_model,
)
from recommender.baselines.history_matrix import history_matrix


class LightGcn:
    """Item vectors are averaged over the graph of users and items; a user is the mean of the items of the history.

    He et al., "LightGCN: simplifying and powering graph convolution network for recommendation", SIGIR 2020. An item
    starts as a row of its own plus its projected vectors of text, image and sound. Users have no rows: they pass on the
    sum of their items, so that a layer is one step from item to user to item, and a user who was not in the graph is
    served like the others. The loss is cross-entropy over sampled items.

    NDCG@10 on MovieLens-100K with stand-in media, with the item before the last of each user as target: .122; 5 epochs
    .111, learning rate .05 .114, decay 8 .114. With learning rate .005 and decay 8: .097, two layers .091, with BPR as
    the loss .089, without the vectors .094.
    """

    name = "lightgcn"

    def __init__(self, width: int = 64, layers: int = 1, decay: float = 4.0, plan: TrainingPlan | None = None) -> None:
        """Take the width of the vectors, the number of layers, the decay of a user's mean and the training plan."""
        self.width = width
        self.layers = layers
        self.decay = decay
        self.plan = plan or TrainingPlan(epochs=10, learning_rate=2e-2, batch=2048)

    def fit(self, data: FitData) -> None:
        """Learn rows and projection on the graph of all histories. Raises DataError without content."""
        vectors = torch.from_numpy(concatenated_vectors(data, self.name))
        graph = normalised_graph(data.histories, data.items)

        def build() -> ItemEmbedding:
            return _GraphEmbedding(graph, vectors, self.width, self.layers)

        self._model = train_mean_item_model(self.name, build, sampled_cross_entropy, data, self.decay, self.plan)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the products of users and items, and the items' biases, [users, items]."""
        return self._model.scores(histories)


class _GraphEmbedding(ItemEmbedding):
    """An item's vector is its mean over all layers of the graph."""

    def __init__(self, graph: sp.csr_array, vectors: Tensor, width: int, layers: int) -> None:
        super().__init__()
        self.to_users, self.to_items = sparse_tensor(graph), sparse_tensor(sp.csr_array(graph.T))
        self.layers = layers
        self.vectors = vectors
        self.rows = nn.Parameter(torch.randn(len(vectors), width) * 0.1)
        self.projection = nn.Parameter(torch.randn(vectors.shape[1], width) * 0.1)
        self.biases = nn.Parameter(torch.zeros(len(vectors)))

    def forward(self) -> tuple[Tensor, Tensor]:
        layer = self.rows + self.vectors @ self.projection
        total = layer
        for _ in range(self.layers):
            layer = torch.sparse.mm(self.to_items, torch.sparse.mm(self.to_users, layer))
            total = total + layer
        return total / (self.layers + 1), self.biases


def normalised_graph(histories: Sequence[np.ndarray], items: int) -> sp.csr_array:
    """Return the seen items, each 1 divided by the roots of the degrees of user and item, float32 [users, items]."""
    seen = history_matrix(histories, items)
    users, counts = (np.maximum(seen.sum(axis=axis), 1) ** -0.5 for axis in (1, 0))
    return sp.csr_array(sp.diags_array(users.astype(np.float32)) @ seen @ sp.diags_array(counts.astype(np.float32)))
