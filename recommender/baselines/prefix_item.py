"""The base of baselines whose networks mix all places of a history: each beginning of it is a case of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recommender.baselines import losses
from recommender.baselines.baseline import FitData
from recommender.baselines.losses import Loss
from recommender.baselines.next_item import NextItemBaseline, NextItemNetwork, TrainingSchedule
from recommender.baselines.prefixes import end_windows, prefix_batches, window_length
from recommender.baselines.sasrec import dropout_for
from recommender.baselines.windows import WindowBatch

SPREAD = 0.02
"""Standard deviation of initial rows."""
SCHEDULE = TrainingSchedule(length=50, places=256, epochs=12, learning_rate=1e-3)
"""`length`: the most items of a window; `places`: cases of a batch."""
_MASKED = -1e4
"""Bias of what is not attended to. Finite: of an empty history all places are masked."""


class MixerBlock(nn.Module):
    """Mixes places, then transforms each: a mixer that ends in a norm, and a feed-forward network, residual, post-norm."""

    def __init__(self, mixer: nn.Module, width: int, dropout: float) -> None:
        super().__init__()
        self.mixer, self.norm = mixer, nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor, bias: Tensor, places: slice) -> Tensor:
        """Return the states of some places of x [windows, places, width]; bias of attention, as the mixer wants it."""
        x = self.mixer(x, bias, places)
        return self.norm(x + self.mlp(x))


class MixerNetwork(NextItemNetwork):
    """Item rows and positions, a norm, and blocks. The item rows are both its input and its output embeddings."""

    def __init__(self, items: int, length: int, width: int, blocks: Sequence[nn.Module], dropout: float) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.randn(items, width) * SPREAD)
        self.start = nn.Parameter(torch.randn(1, width) * SPREAD)
        self.positions = nn.Parameter(torch.randn(length, width) * SPREAD)
        self.norm, self.dropout, self.blocks = nn.LayerNorm(width), nn.Dropout(dropout), nn.ModuleList(blocks)

    def rows(self) -> Tensor:
        """Return the items' rows, [items, width]."""
        return self.items

    def embedded(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return [windows, places, width] of inputs [windows, places]."""
        table = torch.cat([self.start, rows])
        return self.dropout(self.norm(functional.embedding(inputs + 1, table) + self.positions[: inputs.shape[1]]))


class PrefixNetwork(MixerNetwork):
    """Says what comes after the last place of a window. Attention, where a block has some, looks backwards at items."""

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the states [windows, 1, width] of the last places of inputs [windows, length]; START is -1."""
        x, length = self.embedded(inputs, rows), inputs.shape[1]
        allowed = torch.ones(length, length, dtype=torch.bool).tril() & (inputs >= 0)[:, None, None]
        bias = torch.where(allowed, 0.0, _MASKED)
        for block in self.blocks[:-1]:
            x = block(x, bias, slice(None))
        states: Tensor = self.blocks[-1](x, bias[:, :, -1:], slice(-1, None))  # nobody asks the other places
        return states


class PrefixBaseline(NextItemBaseline):
    """A baseline with a PrefixNetwork, trained with the softmax over the whole catalogue on every beginning of a history.

    cyclic: short histories are repeated in front of themselves, see `end_windows`; otherwise padding stands there.
    dropout: None chooses it by the length of the histories, see `dropout_for`.
    The window is as long as the histories need, `schedule.length` at most.
    """

    def __init__(self, name: str, cyclic: bool, dropout: float | None, schedule: TrainingSchedule | None) -> None:
        super().__init__(name, schedule or SCHEDULE)
        self.cyclic, self.dropout = cyclic, dropout

    def build(self, train: Sequence[np.ndarray], data: FitData) -> tuple[NextItemNetwork, Loss]:
        """Return the network for windows as long as the histories need, and its loss."""
        self._length = window_length(train, self.schedule.length)
        dropout = dropout_for(train) if self.dropout is None else self.dropout
        return self.network(data.items, self._length, dropout), losses.softmax

    @abstractmethod
    def network(self, items: int, length: int, dropout: float) -> PrefixNetwork:
        """Return an untrained network."""

    def batches(self, train: Sequence[np.ndarray], generator: np.random.Generator) -> Iterator[WindowBatch]:
        """Yield the cases of one epoch."""
        return prefix_batches(train, self._length, self.schedule.places, self.cyclic, generator)

    def last_states(self, histories: Sequence[np.ndarray], rows: Tensor) -> Tensor:
        """Return the state at the end of each history, [histories, width]."""
        windows = torch.from_numpy(end_windows(histories, self._length, self.cyclic))
        states: Tensor = self._network(windows, rows)[:, 0]
        return states

    def scores_by_position(self, history: np.ndarray) -> np.ndarray:
        """Return scores of the whole catalogue at every position, float32 [len(history), items]: row i is for the item
        after the first i."""
        return self.scores([history[:place] for place in range(len(history))])
