"""Updates of the few token rows that a step looks at, where a table is too large to be changed as a whole.

What is kept beside a row are two numbers: its second moment and how often it was changed. AdamW would keep two tables as
large as the rows and change every row at every step.

Each part of a step draws its own negatives and looks at rows of its own. The gradients of all parts, those of other
processes too, are added up row by row before anything changes, so it does not matter who computed which part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.config import StageConfig
from recommender.errors import RecommenderError
from recommender.model import RecommenderModel
from recommender.model.devices import uses_deepspeed
from recommender.model.negatives import Negatives
from recommender.numerics.memory import give_back
from recommender.training.epochs import TrainingData
from recommender.training.gradients import Stepper

BETA, EPSILON = 0.98, 1e-8


class SparseRows:
    """Adam with one second moment a row and no first one; only the rows of a window are read and written.

    A row's second moment is at least the mean one of all rows of a step: a row that is seen rarely moves by as much as its
    gradient says, and not by the whole learning rate because the gradient before was as small. And no change of a row is
    larger than the learning rate, in root-mean-square numbers: the clipping of Shazeer and Stern, "Adafactor", ICML 2018.
    A first moment would go on moving rows that no step asks for. Weight decay is taken from a row when it is changed.
    """

    def __init__(self, rows: nn.Parameter, weight_decay: float = 0.0, rate: float = 0.0) -> None:
        """`rows` [codes, hidden] are changed in place, whatever device they are on; `rate`: their highest learning rate."""
        self.rows, self.weight_decay, self.rate = rows, weight_decay, rate
        self.moments = torch.zeros(len(rows), device=rows.device)
        self.times = torch.zeros(len(rows), dtype=torch.int32, device=rows.device)
        self.mean = torch.zeros(2, dtype=torch.float64, device=rows.device)  # of all rows: moment, and steps

    @torch.no_grad()
    def step(self, codes: Tensor, gradients: Tensor, rate: float) -> None:
        """Move the rows of distinct codes [n] against their gradients [n, hidden]; those whose gradient is zero stay."""
        codes, gradients = codes.to(self.rows.device), gradients.to(self.rows.device)
        squares = gradients.square().mean(1)
        touched = squares > 0
        codes, gradients, squares = codes[touched], gradients[touched], squares[touched]
        if not len(codes):
            return
        self.mean[0].mul_(BETA).add_((1 - BETA) * squares.double().mean())
        self.mean[1] += 1
        self.times[codes] += 1
        self.moments[codes] = BETA * self.moments[codes] + (1 - BETA) * squares
        of_rows = self.moments[codes] / (1 - BETA ** self.times[codes])
        of_all = (self.mean[0] / (1 - BETA ** self.mean[1])).float()
        scale = torch.maximum(torch.maximum(of_rows, squares), of_all).sqrt() + EPSILON
        self.rows[codes] = self.rows[codes] * (1 - rate * self.weight_decay) - rate * gradients / scale[:, None]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"moments": self.moments, "times": self.times, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])


def merged(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the distinct codes [n] of parts, ascending, and their gradients [n, hidden]: sums of what the parts have.

    `parts`, at least one: codes [m], distinct in each, and gradients [m, hidden]. Sums are taken in the order of the parts.
    """
    if len(parts) == 1:
        return parts[0]
    codes, places = torch.cat([codes for codes, _ in parts]).unique(return_inverse=True)
    added = parts[0][1].new_zeros(len(codes), parts[0][1].shape[1])
    for (_, gradients), at in zip(parts, places.split([len(own) for own, _ in parts]), strict=True):
        added[at] += gradients  # a part has each code once, so no two numbers meet in one place
    return codes, added


class RowStepper(Stepper):
    """The gradients and optimisers of a stage that changes few rows: those of the rows, and of all other weights.

    All processes hold the whole table, and change the same rows by the same amounts; the other weights may be cut.
    """

    def __init__(self, dense: Stepper, rows: SparseRows) -> None:
        """`dense`: steps all other weights."""
        self.dense, self.rows, self.share = dense, rows, 1.0
        self.model, self.processes = dense.model, dense.processes
        #: distinct codes and gradients of the parts so far, merged; of none it is empty
        self.part: list[tuple[Tensor, Tensor]] = []
        self.processes.copy_weights([rows.rows])

    def schedule(self, share: float) -> None:
        """Take the next step with this share of the highest learning rates."""
        self.share = share

    def loss(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        """Return what the forward pass of the model returns."""
        return self.dense.loss(*arguments)

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """Add the gradients of a part of a step; each part has looked at rows of its own."""
        self.dense.backward(loss, last)
        window = self.model.take_window()
        if window is not None and window.rows.grad is not None:
            self.part = [merged([*self.part, (window.codes, window.rows.grad)])]
        if self.rows.rows.device.type == "cpu":  # beside a large table there is little room for holes
            give_back()

    def step(self, max_norm: float, beside: Sequence[Tensor] = ()) -> None:
        """Take one step with the gradients of all processes, which are then gone."""
        codes, gradients = self._gradients_of_rows()
        self.dense.step(max_norm, [gradients, *beside])
        self.rows.step(codes, gradients, self.rows.rate * self.share)
        del codes, gradients
        self.part.clear()

    def readable(self) -> AbstractContextManager[None]:
        """Within the block all that ranks can be read as it is."""
        return self.dense.readable()

    def _gradients_of_rows(self) -> tuple[Tensor, Tensor]:
        """Return the codes [n] that any process looked at, and the sums [n, hidden] of their gradients."""
        if not self.part:  # this process has looked at none
            rows, device = self.rows.rows, self.processes.device
            none = torch.zeros(0, dtype=torch.long, device=device)
            self.part = [(none, torch.zeros(0, rows.shape[1], dtype=rows.dtype, device=device))]
        codes, gradients = self.part.pop()
        of_all = zip(self.processes.parts_of_all(codes), self.processes.parts_of_all(gradients), strict=True)
        return merged(list(of_all))

    def state(self) -> dict[str, Any]:
        """Return the states of both optimisers."""
        return {"dense": self.dense.state(), "token rows": self.rows.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.dense.load(state["dense"])
        self.rows.load_state_dict(state["token rows"])


def sparse_rows(model: RecommenderModel, data: TrainingData, config: StageConfig) -> SparseRows | None:
    """Return what updates the rows of a stage, and tell the model how often items occur; None where all rows are trained.

    Raises RecommenderError in DeepSpeed's engine, which cuts gradients by their norm itself, and knows nothing of rows.
    """
    rate = config.learning_rate if config.rows_learning_rate is None else config.rows_learning_rate
    if not model.trains_few_rows or config.stage not in ("align", "rank") or not rate:
        return None
    if uses_deepspeed():
        raise RecommenderError(
            f"a sampled softmax over {len(model.rows):,} items does not train in DeepSpeed's engine",
            "launch with adapters/accelerate/ddp.yaml or fsdp2.yaml, or set training.softmax: chunked",
        )
    if model.negatives is None:
        histories = [items for items in data.split.train.items if len(items)]
        counts = np.bincount(
            np.concatenate([*histories, np.zeros(0, np.int64)]).astype(np.int64), minlength=len(model.codes)
        )
        model.negatives = Negatives(len(counts), counts[model.items_by_code.cpu().numpy()])
    return SparseRows(model.rows, config.weight_decay, rate)
