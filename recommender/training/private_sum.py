"""The private gradient of a step: one gradient a user, each cut to a norm, summed, with Gaussian noise on the sum.

Abadi et al., "Deep learning with differential privacy", CCS 2016, with a user in the place of an example, as in McMahan et
al., "Learning differentially private recurrent language models", ICLR 2018. Each user has a backward pass of their own;
nothing hooks into layers, so it is right for whatever the model is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recommender.errors import RecommenderError
from recommender.model import RecommenderModel
from recommender.training.gradients import Stepper
from recommender.training.private_directions import Directions
from recommender.training.processes import Processes


class ClippedSum:
    """The sum of users' gradients over some parameters, each cut to a norm taken over all of them together."""

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        max_norm: float,
        weights: Sequence[float] | None = None,
        directions: Mapping[nn.Parameter, Directions] | None = None,
    ) -> None:
        """`weights`: of each parameter's gradient in a user's norm, by default 1: with less it takes less of the norm, and
        gets more noise. `directions`: the only ones in which some parameters are summed, and get noise."""
        self.parameters, self.max_norm = list(parameters), max_norm
        self.weights = [1.0] * len(self.parameters) if weights is None else list(weights)
        self.directions = [(directions or {}).get(parameter) for parameter in self.parameters]
        pairs = zip(self.parameters, self.directions, strict=True)
        self.sums = [torch.zeros_like(_within(parameter.detach(), few)) for parameter, few in pairs]

    @torch.no_grad()
    def add(self) -> float:
        """Add one user's gradients, weighted and cut, and take them off the parameters; returns their norm before.

        Raises RecommenderError if it is not finite: no noise would hide that.
        """
        rows = zip(self.parameters, self.directions, self.weights, strict=True)
        gradients = [None if p.grad is None else weight * _within(p.grad, few) for p, few, weight in rows]
        norms = [float(_norm(gradient)) for gradient in gradients if gradient is not None]
        norm = float(np.linalg.norm(norms)) if norms else 0.0
        if not np.isfinite(norm):
            raise RecommenderError(
                "training.privacy: a user's gradient is not finite; training stopped",
                "lower learning_rate and start anew",
            )
        share = min(self.max_norm / norm, 1.0) if norm else 1.0
        for total, parameter, gradient in zip(self.sums, self.parameters, gradients, strict=True):
            if gradient is not None:
                total.add_(gradient, alpha=share)
                parameter.grad = None
        return norm

    @torch.no_grad()
    def release(self, noise: float, users: float, random: np.random.Generator) -> None:
        """Give the parameters the noisy sum, divided by `users`, for gradients; the sum begins anew.

        `noise`: its deviation, relative to the norm to which gradients are cut.
        """
        rows = zip(self.sums, self.parameters, self.directions, self.weights, strict=True)
        for total, parameter, few, weight in rows:
            drawn = random.standard_normal(total.numel(), dtype=np.float32).reshape(total.shape)
            noisy = total + noise * self.max_norm * torch.from_numpy(drawn).to(total.device, total.dtype)
            released = noisy / (users * weight)
            parameter.grad = released if few is None else few.whole(released)
            total.zero_()


class PrivateStepper(Stepper):
    """Steps the optimiser of a stage with private gradients; each part of a step is all that one user tells."""

    def __init__(
        self,
        model: RecommenderModel,
        optimizer: torch.optim.Optimizer,
        processes: Processes,
        max_norm: float,
        noise: float,
        users: float,
        randoms: Callable[[], np.random.Generator],
        trains: Mapping[str, float] | None = None,
        directions: Mapping[nn.Parameter, Directions] | None = None,
    ) -> None:
        """`noise`: the multiplier; `users`: that are expected in a step; `randoms`: called once a step.

        `trains`: parts of names -> weights, as in `PrivacyConfig`. `directions`: as in `ClippedSum`.
        """
        super().__init__(model, optimizer, processes)
        self.sum = ClippedSum(self.parameters, max_norm, _weights(model, self.parameters, trains), directions)
        self.noise, self.users, self.randoms = noise, users, randoms

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """Add what one user tells."""
        super().backward(loss, last)
        self.sum.add()

    def step(self, max_norm: float, beside: Sequence[Tensor] = ()) -> None:
        """Take one step with noise, also where no user was drawn; `max_norm` is the users', not that of the step."""
        self.sum.release(self.noise, self.users, self.randoms())
        self.optimizer.step()
        self.optimizer.zero_grad()


def _within(gradient: Tensor, few: Directions | None) -> Tensor:
    return gradient if few is None else few.within(gradient)


def _norm(gradient: Tensor) -> Tensor:
    """Return the norm in float64: what it falls short of by rounding would be told of a user beyond the promise."""
    return torch.linalg.vector_norm(gradient, dtype=torch.float64)


def weight_of(name: str, trains: Mapping[str, float] | None) -> float | None:
    """Return the weight of a parameter's gradient in a user's norm; None for one that is not trained."""
    if trains is None:
        return 1.0
    return next((weight for part, weight in trains.items() if part in name), None)


def _weights(
    model: RecommenderModel, parameters: Sequence[nn.Parameter], trains: Mapping[str, float] | None
) -> list[float]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [weight_of(names[id(parameter)], trains) or 1.0 for parameter in parameters]
