"""SASRec and its descendants: causal transformers over item ids that differ in their loss and initial rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recommender.baselines import losses
from recommender.baselines.baseline import FitData
from recommender.baselines.initial_rows import initial_rows
from recommender.baselines.losses import Loss
from recommender.baselines.next_item import NextItemBaseline, NextItemNetwork, TrainingSchedule
from recommender.encoders.collaborative import collaborative_vectors

LossName = Literal["softmax", "binary", "sampled", "gbce"]
_COLLABORATIVE_WIDTH = 64
_SPREAD = 0.1
"""Standard deviation of the initial rows. On validation a fifth of it was worse, with vectors by far (.126, .138)."""
_SHORT_MEAN, _SHORT_DROPOUT, _LONG_DROPOUT = 20, 0.5, 0.2


class TransformerBlock(nn.Module):
    """Causal attention and a feed-forward network, both pre-norm and residual."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return states of the shape of `x` [windows, places, width]; bias [heads, places, places]."""
        windows, places, width = x.shape
        queries, keys, values = (
            part.reshape(windows, places, self.heads, -1).transpose(1, 2)
            for part in self.attend(self.before_attention(x)).chunk(3, dim=-1)
        )
        attended = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        x = x + self.dropout(self.merge(attended.transpose(1, 2).reshape(windows, places, width)))
        return x + self.dropout(self.mlp(self.before_mlp(x)))


class ItemTransformer(NextItemNetwork):
    """A pre-norm causal transformer whose item rows are both its input and its output embeddings."""

    bias: Tensor

    def __init__(self, rows: Tensor, length: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        width = rows.shape[1]
        spread = float(rows.std())
        self.items = nn.Parameter(rows)
        self.start = nn.Parameter(torch.randn(1, width) * spread)
        self.positions = nn.Parameter(torch.randn(length, width) * spread)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([TransformerBlock(width, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.register_buffer("bias", recency_bias(length, heads), persistent=False)

    def rows(self) -> Tensor:
        """Return the items' rows, [items, width]."""
        return self.items

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the states [windows, places, width] of inputs [windows, places]."""
        table = torch.cat([self.start, rows])
        x = self.dropout(functional.embedding(inputs + 1, table) + self.positions[: inputs.shape[1]])
        for block in self.blocks:
            x = block(x, self.bias[:, : inputs.shape[1], : inputs.shape[1]])
        return self.norm(x)


class SasRec(NextItemBaseline):
    """A transformer over item ids, after Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018.

    loss: "softmax" over the whole catalogue, or "sampled" against `negatives` drawn items, both after Klenitskiy and
        Vasilev, "Turning dross into gold loss: is BERT4Rec really better than SASRec?", RecSys 2023; "binary" against
        one item, as in the first paper; "gbce" as in gSASRec, calibrated by `calibration`.
    vectors: rows start from the items' text and collaborative vectors instead of at random.
    dropout: None chooses it by the length of the histories, see `dropout_for`.
    """

    def __init__(
        self,
        name: str,
        loss: LossName = "softmax",
        *,
        vectors: bool = False,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float | None = None,
        negatives: int = 256,
        calibration: float = 0.75,
        schedule: TrainingSchedule | None = None,
    ) -> None:
        super().__init__(name, schedule)
        self.loss: LossName = loss
        self.vectors = vectors
        self.width, self.layers, self.heads, self.dropout = width, layers, heads, dropout
        self.negatives, self.calibration = negatives, calibration

    def build(self, train: Sequence[np.ndarray], data: FitData) -> tuple[NextItemNetwork, Loss]:
        """Return the transformer and its loss. Raises DataError if it starts from vectors and there is no content."""
        rows = self._vector_rows(train, data) if self.vectors else torch.randn(data.items, self.width)
        dropout = dropout_for(train) if self.dropout is None else self.dropout
        network = ItemTransformer(rows * _SPREAD, self.schedule.length, self.layers, self.heads, dropout)
        return network, self._loss_for(train, data.items)

    def _loss_for(self, train: Sequence[np.ndarray], items: int) -> Loss:
        match self.loss:
            case "softmax":
                return losses.softmax
            case "binary":
                return losses.binary(losses.SeenPairs(train, items))
            case "sampled":
                return losses.sampled_softmax(self.negatives)
            case "gbce":
                return losses.generalised_binary(self.negatives, self.calibration)

    def _vector_rows(self, train: Sequence[np.ndarray], data: FitData) -> Tensor:
        text = data.need_text(self.name)
        collaborative = collaborative_vectors(train, data.items, _COLLABORATIVE_WIDTH, data.seed)
        return initial_rows([text, collaborative], self.width)


def recency_bias(places: int, heads: int) -> Tensor:
    """Return the attention bias [heads, places, places]: it falls with distance and is -inf for later positions.

    ALiBi of Press et al., "Train short, test long", ICLR 2022, with slopes from 1/2 to 1/128. Without it the network
    has to learn from scratch that the last items matter most: on MovieLens-100K validation NDCG@10 was .107 after 6
    epochs and .114 after 10; with it .118 after 6.
    """
    at = torch.arange(places)
    distance = (at[:, None] - at[None, :]).float()
    slopes = 2.0 ** -torch.linspace(1, 7, heads)
    return torch.where(distance >= 0, -slopes[:, None, None] * distance, -torch.inf)


def dropout_for(histories: Sequence[np.ndarray]) -> float:
    """Return .5 if histories have fewer than 20 items on average, else .2.

    Kang and McAuley also choose by density: .2 for MovieLens-1M and .5 for their sparse data.
    """
    mean = float(np.mean([len(history) for history in histories]))
    return _SHORT_DROPOUT if mean < _SHORT_MEAN else _LONG_DROPOUT
