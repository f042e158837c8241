"""What the neural baselines share: a network over windows that names the next item, and how it is trained."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recommender.baselines.baseline import FitData
from recommender.baselines.held_out import HeldOut, hold_out, ndcg
from recommender.baselines.losses import Loss
from recommender.baselines.reproducible import reproducible
from recommender.baselines.windows import epoch, inputs_of
from recommender.errors import DataError

_SCORED_AT_ONCE = 256
_WARM_UP = 0.1


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    length: places of a window, START included. places: places of a batch, about. patience: epochs without a better
    validation after which training stops.
    """

    length: int = 100
    places: int = 512
    epochs: int = 10
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    patience: int = 3


class Network(nn.Module):
    """What reads windows. The score of an item is the product of a place's state and the item's row."""

    @abstractmethod
    def rows(self) -> Tensor:
        """Return the rows of all items, [items, width]."""

    @abstractmethod
    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the states [windows, places, width] of inputs [windows, places], in which START is -1."""


class NextItem(ABC):
    """A baseline that trains a Network with AdamW and keeps the epoch that validates best.

    The last item of each history of two or more is held out: the network never learns it, and NDCG@10 on these items
    decides which epoch stays and when to stop.
    """

    def __init__(self, name: str, schedule: Schedule | None = None) -> None:
        self.name = name
        self.schedule = schedule or Schedule()

    @abstractmethod
    def build(self, train: Sequence[np.ndarray], data: FitData) -> tuple[Network, Loss]:
        """Return an untrained network and its loss for the histories without what is held out."""

    def fit(self, data: FitData) -> None:
        """Train until validation stops improving. Raises DataError without a history of two items."""
        train, held = hold_out(data.histories)
        if not len(held.targets):
            raise DataError(f"{self.name} needs a history of two items or more", "give more interactions")
        with reproducible(data.seed):
            self._network, loss = self.build(train, data)
            self._train(train, held, loss, data)
        self._network.eval()

    @torch.inference_mode()
    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the products of the last state of each history and all rows, float32 [users, items]."""
        rows, length = self._network.rows(), self.schedule.length
        out = np.empty((len(histories), len(rows)), dtype=np.float32)
        ends = np.array([min(len(history), length - 1) for history in histories], dtype=np.int64)
        order = np.argsort(ends, kind="stable")  # alike in length, so that little is filled up
        for start in range(0, len(order), _SCORED_AT_ONCE):
            some = order[start : start + _SCORED_AT_ONCE]
            inputs = torch.from_numpy(inputs_of([histories[user] for user in some.tolist()], length))
            states = self._network(inputs, rows)[torch.arange(len(some)), torch.from_numpy(ends[some])]
            out[some] = (states @ rows.T).numpy()
        return out

    @torch.inference_mode()
    def expected(self, history: np.ndarray) -> np.ndarray:
        """Return scores of the whole catalogue for every place, float32 [len(history), items]: in row i, for what comes
        after the first i items. A long history is read in windows of which half is known before."""
        rows, length = self._network.rows(), self.schedule.length
        out = np.empty((len(history), len(rows)), dtype=np.float32)
        done = 0
        while done < len(history):
            start = max(done - length // 2, 0)
            window = history[start : start + length]
            inputs = torch.from_numpy(inputs_of([window[:-1]], length))
            states = self._network(inputs, rows)[0, done - start :]
            out[done : start + len(window)] = (states @ rows.T).numpy()
            done = start + len(window)
        return out

    def _train(self, train: Sequence[np.ndarray], held: HeldOut, loss: Loss, data: FitData) -> None:
        plan, generator = self.schedule, np.random.default_rng(data.seed)
        optimiser = torch.optim.AdamW(_groups(self._network, plan.weight_decay), lr=plan.learning_rate)
        steps = plan.epochs * sum(1 for _ in epoch(train, plan.length, plan.places, np.random.default_rng(data.seed)))
        slope = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(steps))
        best, best_number, kept = -1.0, 0, copy.deepcopy(self._network.state_dict())
        for number in range(1, plan.epochs + 1):
            self._network.train()
            for batch in epoch(train, plan.length, plan.places, generator):
                inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
                value = self._loss(loss, inputs, targets, torch.from_numpy(batch.users))
                optimiser.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
                optimiser.step()
                slope.step()
            self._network.eval()
            found = ndcg(self.scores, held)
            if found > best:
                best, best_number, kept = found, number, copy.deepcopy(self._network.state_dict())
            if data.progress is not None:
                data.progress(f"fitting {self.name}, validation {found:.4f}", number, plan.epochs)
            if number - best_number >= plan.patience:
                break
        self._network.load_state_dict(kept)

    def _loss(self, loss: Loss, inputs: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        learnt = targets >= 0
        rows = self._network.rows()
        states = self._network(inputs, rows)[learnt]
        return loss(states, rows, targets[learnt], users[:, None].expand_as(targets)[learnt])


def _rise_and_fall(steps: int) -> Callable[[int], float]:
    """Return the share of the learning rate at each step: up in a line, down along a cosine."""
    rise = max(int(steps * _WARM_UP), 1)

    def share(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(steps - rise, 1), 1.0)))

    return share


def _groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Matrices decay; vectors (norms, biases) do not."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
