"""(f) A graph network over users and items: items start from their media, edges carry the ratings.

After van den Berg, Kipf and Welling, "Graph convolutional matrix completion", 2018: each rating level has a
transformation of its own, and messages are normalised by both degrees. Two things are added: a transformation shared by
all ratings and multiplied by their deviation from the mean, so that the order of the scale need not be learnt; and a
second layer, so that an item also receives messages from users that already hold those of their other items. A rating
that is predicted in training is never an edge of the graph it is predicted from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.fusion_networks import head
from recommender.studies.ratings.network_training import fit, predict
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.settings import RatingsSettings
from recommender.studies.ratings.statistics import KnownRatings

Nodes = tuple[torch.Tensor, torch.Tensor]
"""Vectors of all users and of all items."""
Edges = tuple[torch.Tensor, torch.Tensor]
"""Sparse [users, kinds * items] and [items, kinds * users]: normalised weights of the messages by kind of edge.

There is a kind for each rating level, and a last one of all ratings, weighted by their deviation from the mean.
"""


class GraphNetwork(nn.Module):
    """Two layers of messages, and a classifier of pairs of user and item."""

    def __init__(self, content: int, extra: int, classes: int, settings: RatingsSettings) -> None:
        super().__init__()
        width = settings.joint
        self.items = nn.Linear(content, width)
        self.users = nn.Parameter(torch.zeros(width))  # all users start from the same vector
        self.layers = nn.ModuleList([_Layer(width, classes + 1, settings.dropout) for _ in range(2)])
        self.head = head(3 * width + extra, classes, settings)

    def nodes(self, content: torch.Tensor, edges: Edges) -> Nodes:
        """Return vectors of all users [users, width] and of all items [items, width], from content [items, width]."""
        items = torch.tanh(self.items(content))
        users = self.users.expand(edges[0].shape[0], -1)
        for layer in self.layers:
            users, items = layer(users, items, edges)
        return users, items


class _Layer(nn.Module):
    """A node's new vector: its own, transformed, plus its neighbours', each transformed by the rating between them."""

    def __init__(self, width: int, kinds: int, dropout: float) -> None:
        super().__init__()
        self.to_users = nn.Linear(width, kinds * width, bias=False)
        self.to_items = nn.Linear(width, kinds * width, bias=False)
        self.own_users = nn.Linear(width, width)
        self.own_items = nn.Linear(width, width)
        self.kinds = kinds
        self.dropout = nn.Dropout(dropout)

    def forward(self, users: torch.Tensor, items: torch.Tensor, edges: Edges) -> Nodes:
        """Return new vectors of users and items, both from the old ones."""
        user_messages = torch.sparse.mm(edges[0], self._by_kind(self.to_users(items)))
        item_messages = torch.sparse.mm(edges[1], self._by_kind(self.to_items(users)))
        # tanh, not the paper's ReLU: the classifier multiplies users by items, and a dislike must have a sign
        new_users = torch.tanh(self.own_users(users) + user_messages)
        new_items = torch.tanh(self.own_items(items) + item_messages)
        return self.dropout(new_users), self.dropout(new_items)

    def _by_kind(self, messages: torch.Tensor) -> torch.Tensor:
        """Turn [n, kinds * width] to [kinds * n, width]."""
        count = len(messages)
        return messages.view(count, self.kinds, -1).transpose(0, 1).reshape(count * self.kinds, -1)


class GraphModel:
    """The network on a fold: a training row is predicted from the graph of the other parts' ratings."""

    def __init__(self, fold: Fold, settings: RatingsSettings) -> None:
        self.fold = fold
        self.content = torch.from_numpy(np.hstack(list(fold.content.values())).astype(np.float32))
        self.graphs = [_edges(fold.known.take(fold.parts != part), fold.levels) for part in range(fold.parts.max() + 1)]
        self.later = {"validation": _edges(fold.known, fold.levels), "test": _edges(fold.all_known, fold.levels)}
        extra = fold.fit.blocks["statistics"].shape[1]
        self.module = GraphNetwork(self.content.shape[1], extra, len(fold.levels), settings)

    def batches(self, generator: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        """Yield shuffled rows; those of a batch are of one part, so that they share a graph."""
        batches: list[np.ndarray] = []
        for part in range(len(self.graphs)):
            rows = generator.permutation(np.flatnonzero(self.fold.parts == part))
            batches += np.split(rows, range(size, len(rows), size))
        yield from (batches[index] for index in generator.permutation(len(batches)))

    def logits(self, part: str, rows: np.ndarray) -> list[torch.Tensor]:
        """Run the network; rows of "fit" must be of one part."""
        return [self.module.head(self.pairs(part, rows))]

    def pairs(self, part: str, rows: np.ndarray) -> torch.Tensor:
        """Return the classifier's input for some rows, [n, 3 * width + extra]: user, item, product, statistics."""
        edges = self.graphs[self.fold.parts[rows[0]]] if part == "fit" else self.later[part]
        users, items = self.module.nodes(self.content, edges)
        side = getattr(self.fold, part)
        left, right = users[torch.from_numpy(side.users[rows])], items[torch.from_numpy(side.items[rows])]
        extra = torch.from_numpy(side.blocks["statistics"][rows])
        return torch.cat([left, right, left * right, extra], dim=1)

    @torch.no_grad()
    def described(self, part: str) -> np.ndarray:
        """Return `pairs` of all rows of a part by the trained network, as features for another classifier."""
        self.module.eval()
        count = len(getattr(self.fold, part))
        if part != "fit":
            return self.pairs(part, np.arange(count)).numpy()
        groups = [np.flatnonzero(self.fold.parts == number) for number in range(len(self.graphs))]
        order = np.argsort(np.concatenate(groups))
        return torch.cat([self.pairs(part, rows) for rows in groups]).numpy()[order]


def graph_network(fold: Fold, settings: RatingsSettings) -> tuple[Prediction, GraphModel]:
    """Train the network on a fold; returns its prediction of the test rows, and the network."""
    torch.manual_seed(fold.seed)
    model = GraphModel(fold, settings)
    weights = fit(model, fold, settings)
    return predict(model, fold, weights), model


def _edges(known: KnownRatings, levels: np.ndarray) -> Edges:
    """Return the normalised graph of some ratings, in both directions."""
    by_user = np.bincount(known.users, minlength=known.user_count)[known.users]
    by_item = np.bincount(known.items, minlength=known.item_count)[known.items]
    weights = 1 / np.sqrt(by_user * by_item)
    deviations = (known.values - known.values.mean()) / max(known.values.std(), 1e-6)
    kinds = np.concatenate([np.searchsorted(levels, known.values), np.full(len(known.values), len(levels))])
    users, items = np.tile(known.users, 2), np.tile(known.items, 2)
    weights = np.concatenate([weights, weights * deviations])
    shape = (known.user_count, known.item_count)
    return (
        _sparse(users, kinds * shape[1] + items, weights, (shape[0], (len(levels) + 1) * shape[1])),
        _sparse(items, kinds * shape[0] + users, weights, (shape[1], (len(levels) + 1) * shape[0])),
    )


def _sparse(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, shape: tuple[int, int]) -> torch.Tensor:
    places = torch.from_numpy(np.stack([rows, columns]).astype(np.int64))
    return torch.sparse_coo_tensor(
        places, torch.from_numpy(weights.astype(np.float32)), shape, check_invariants=False
    ).coalesce()
