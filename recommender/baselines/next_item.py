"""The base of the neural baselines: a network over windows that predicts the next item, and its training."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recommender.baselines.baseline import FitData
from recommender.baselines.losses import Loss
from recommender.baselines.reproducible import reproducible
from recommender.baselines.validation_targets import ValidationTargets, mean_ndcg, split_validation
from recommender.baselines.windows import WindowBatch, epoch_batches, input_rows
from recommender.errors import DataError

_USERS_AT_ONCE = 256
_WARMUP_RATIO = 0.1


@dataclass(frozen=True)
class TrainingSchedule:
    """Epochs, rates and sizes.

    length: positions of a window, START included. places: about how many positions a batch has. patience: epochs
    without a better validation after which training stops.
    """

    length: int = 100
    places: int = 512
    epochs: int = 10
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    patience: int = 3


class NextItemNetwork(nn.Module):
    """A network over windows. The score of an item is the product of a position's state and the item's row."""

    @abstractmethod
    def rows(self) -> Tensor:
        """Return the rows of all items, [items, width]."""

    @abstractmethod
    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the states [windows, places, width] of inputs [windows, places], in which START is -1."""


class NextItemBaseline(ABC):
    """A baseline that trains a NextItemNetwork with AdamW and keeps the epoch with the best validation.

    The last item of each history of two or more is the validation target: the network never learns it, and NDCG@10 on
    these items decides which epoch is kept and when to stop.
    """

    def __init__(self, name: str, schedule: TrainingSchedule | None = None) -> None:
        self.name = name
        self.schedule = schedule or TrainingSchedule()
        self.epochs = self.schedule.epochs  # a number of the baseline, so that it can be set by name

    @abstractmethod
    def build(self, train: Sequence[np.ndarray], data: FitData) -> tuple[NextItemNetwork, Loss]:
        """Return an untrained network and its loss; `train`: the histories without the validation targets."""

    def fit(self, data: FitData) -> None:
        """Train until validation stops improving. Raises DataError without a history of two items."""
        train, validation = split_validation(data.histories)
        if not len(validation.targets):
            raise DataError(f"{self.name} needs a history of two items or more", "give more interactions")
        with reproducible(data.seed):
            self._network, loss = self.build(train, data)
            self._train(train, validation, loss, data)
        self._network.eval()

    @torch.inference_mode()
    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the products of the last state of each history and all rows, float32 [users, items]."""
        rows = self._network.rows()
        scores = np.empty((len(histories), len(rows)), dtype=np.float32)
        lengths = np.array([len(history) for history in histories], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")  # similar lengths together, so that there is little padding
        for start in range(0, len(order), _USERS_AT_ONCE):
            users = order[start : start + _USERS_AT_ONCE]
            states = self.last_states([histories[user] for user in users.tolist()], rows)
            scores[users] = (states @ rows.T).numpy()
        return scores

    def batches(self, train: Sequence[np.ndarray], generator: np.random.Generator) -> Iterator[WindowBatch]:
        """Yield the batches of one epoch: every item once as a target."""
        return epoch_batches(train, self.schedule.length, self.schedule.places, generator)

    def last_states(self, histories: Sequence[np.ndarray], rows: Tensor) -> Tensor:
        """Return the fitted network's state at the end of each history, [histories, width]."""
        inputs = torch.from_numpy(input_rows(histories, self.schedule.length))
        ends = torch.tensor([min(len(history), self.schedule.length - 1) for history in histories])
        states: Tensor = self._network(inputs, rows)[torch.arange(len(inputs)), ends]
        return states

    @torch.inference_mode()
    def scores_by_position(self, history: np.ndarray) -> np.ndarray:
        """Return scores of the whole catalogue at every position, float32 [len(history), items]: row i is for the item
        after the first i. A long history is read in windows that overlap by half."""
        rows, length = self._network.rows(), self.schedule.length
        scores = np.empty((len(history), len(rows)), dtype=np.float32)
        done = 0
        while done < len(history):
            start = max(done - length // 2, 0)
            window = history[start : start + length]
            inputs = torch.from_numpy(input_rows([window[:-1]], length))
            states = self._network(inputs, rows)[0, done - start :]
            scores[done : start + len(window)] = (states @ rows.T).numpy()
            done = start + len(window)
        return scores

    def views_by_position(self, history: np.ndarray, ends: bool = False) -> np.ndarray:
        """Return the log-probabilities at every position, float32 [positions, items, 1]: row i is for the item after the
        first i; with `ends` one more follows, for the item after all."""
        # what stands at the last place is never read
        scores = self.scores_by_position(np.append(history, 0) if ends else history)
        return functional.log_softmax(torch.from_numpy(scores), dim=1).numpy()[..., None]

    def _train(self, train: Sequence[np.ndarray], validation: ValidationTargets, loss: Loss, data: FitData) -> None:
        plan, generator = self.schedule, np.random.default_rng(data.seed)
        optimiser = torch.optim.AdamW(_parameter_groups(self._network, plan.weight_decay), lr=plan.learning_rate)
        steps = self.epochs * sum(1 for _ in self.batches(train, np.random.default_rng(data.seed)))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, _warmup_and_cosine(steps))
        best, best_number, best_state = -1.0, 0, copy.deepcopy(self._network.state_dict())
        for number in range(1, self.epochs + 1):
            self._network.train()
            for batch in self.batches(train, generator):
                inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
                value = self._loss(loss, inputs, targets, torch.from_numpy(batch.users))
                optimiser.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
                optimiser.step()
                scheduler.step()
            self._network.eval()
            ndcg = mean_ndcg(self.scores, validation)
            if ndcg > best:
                best, best_number, best_state = ndcg, number, copy.deepcopy(self._network.state_dict())
            if data.progress is not None:
                data.progress(f"fitting {self.name}, validation {ndcg:.4f}", number, self.epochs)
            if number - best_number >= plan.patience:
                break
        self._network.load_state_dict(best_state)

    def _loss(self, loss: Loss, inputs: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        has_target = targets >= 0
        rows = self._network.rows()
        states = self._network(inputs, rows)[has_target]
        return loss(states, rows, targets[has_target], users[:, None].expand_as(targets)[has_target])


def _warmup_and_cosine(steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate at each step: a linear warm-up, then a cosine down to zero."""
    warmup = max(int(steps * _WARMUP_RATIO), 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))

    return factor


def _parameter_groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Return the parameters in two groups: weight decay for matrices, none for vectors (norms, biases)."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
