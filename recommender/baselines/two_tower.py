"""Two towers: a network of the user's history and one of the items map both into one space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recommender.baselines import losses
from recommender.baselines.baseline import FitData
from recommender.baselines.losses import Loss
from recommender.baselines.next_item import NextItemBaseline, NextItemNetwork, TrainingSchedule


class Towers(NextItemNetwork):
    """An MLP over an item's learnt row and its content vector; another one over the pooled rows of a history.

    A history is pooled once for each of `decays`: an item n positions before the end weighs exp(-n / decay), and the
    weights sum to one. START takes part as an item of its own, so that an empty history has a state too.
    """

    content: Tensor
    decays: Tensor

    def __init__(self, content: Tensor, width: int, hidden: int, decays: Sequence[float], dropout: float) -> None:
        super().__init__()
        self.register_buffer("content", content)
        self.register_buffer("decays", torch.tensor(decays))
        self.item_rows = nn.Parameter(torch.randn(len(content), width) * 0.1)
        self.start = nn.Parameter(torch.randn(1, width) * 0.1)
        self.item_tower = _tower(width + content.shape[1], hidden, width, dropout)
        self.user_tower = _tower(width * len(decays), hidden, width, dropout)
        self.scale = nn.Parameter(torch.tensor(float(np.log(_FIRST_SCALE))))

    def rows(self) -> Tensor:
        """Return the items' vectors at unit length times a learnt scale, [items, width]."""
        items = self.item_tower(torch.cat([self.item_rows, self.content], 1))
        return functional.normalize(items, dim=1) * self.scale.exp()

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the user's vector at unit length at every position, [windows, places, width]."""
        table = torch.cat([self.start, rows / self.scale.exp()])
        seen = functional.embedding(inputs + 1, table)
        pooled = [self._weights(inputs.shape[1], decay) @ seen for decay in self.decays]
        return functional.normalize(self.user_tower(torch.cat(pooled, -1)), dim=-1)

    @staticmethod
    def _weights(places: int, decay: Tensor) -> Tensor:
        """Return the weight of each earlier position at each position, [places, places]."""
        at = torch.arange(places)
        age = (at[:, None] - at[None, :]).float()
        return torch.softmax(torch.where(age >= 0, -age / decay, -torch.inf), 1)


_FIRST_SCALE = 10.0


def _tower(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class TwoTower(NextItemBaseline):
    """Towers trained with softmax over the whole catalogue; every position of a history is a training example.

    The design is that of Covington et al., "Deep neural networks for YouTube recommendations", RecSys 2016, and Yi et
    al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019, whose sampling
    correction is not needed where nothing is sampled.
    """

    def __init__(
        self,
        name: str = "two-tower",
        width: int = 128,
        hidden: int = 256,
        decays: Sequence[float] = (2.0, 8.0, 64.0),
        dropout: float = 0.2,
        schedule: TrainingSchedule | None = None,
    ) -> None:
        super().__init__(name, schedule)
        self.width, self.hidden, self.decays, self.dropout = width, hidden, tuple(decays), dropout

    def build(self, train: Sequence[np.ndarray], data: FitData) -> tuple[NextItemNetwork, Loss]:
        """Return towers over the items' text vectors. Raises DataError without content."""
        content = torch.from_numpy(data.need_text(self.name)).float()
        return Towers(content, self.width, self.hidden, self.decays, self.dropout), losses.softmax
