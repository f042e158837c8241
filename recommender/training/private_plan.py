"""The plan of a private training: who is sampled how often, how much noise, and what stands on the card."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import Config, StageConfig
from recommender.errors import ConfigError, RecommenderError
from recommender.files import write_text
from recommender.training.accounting import Mechanism, epsilon_of, noise_for

#: the file of the numbers from which sampling and noise are drawn, beside the state of a run
SECRET = "privacy-secret"
#: purposes of the numbers that are drawn; each has streams of its own
SAMPLE, NOISE, DROPOUT, COUNTS = range(4)
MECHANISM = "Gaussian noise on the sum of clipped gradients of Poisson-sampled users"


@dataclass(frozen=True)
class PrivatePlan:
    """How a training keeps its promise. `users`: how many there are; `steps`: of all private stages together.

    `noise`: the multiplier, relative to `max_norm`; `epsilon`: what is spent at `delta`, at most what was asked for.
    """

    epsilon: float
    delta: float
    users: int
    rate: float
    steps: int
    noise: float
    max_norm: float
    counts_noise: float | None = None
    repeatable: bool = False

    @property
    def expected(self) -> float:
        """The number of users that a step has on average."""
        return self.users * self.rate

    def told(self) -> dict[str, Any]:
        """Return what the card says of it."""
        return {
            "epsilon": round(self.epsilon, 4),
            "delta": self.delta,
            "unit": "user",
            "mechanism": MECHANISM,
            "neighbours": "one user's whole history added or removed",
            "users": self.users,
            "sampling_rate": self.rate,
            "steps": self.steps,
            "noise_multiplier": round(self.noise, 4),
            "max_norm": self.max_norm,
            "counts_noise": self.counts_noise,
            "repeatable": self.repeatable,
        }


def steps_of_private(stage: StageConfig, rate: float) -> int:
    """Return the steps of a private stage: so many that a user takes part `epochs` times on average."""
    steps = max(math.ceil(round(stage.epochs / rate, 9)), 1)
    return steps if stage.max_steps is None else min(steps, stage.max_steps)


def delta_of(asked: float | None, users: int, key: str) -> float:
    """Return the chance with which a promise may fail; by default a tenth of 1 / users.

    Raises ConfigError naming `key` for a chance with which a user could be published whole.
    """
    delta = 1 / (10 * users) if asked is None else asked
    if not 0 < delta < 1 / users:
        raise ConfigError(
            f"{key} is {delta:g}: with {users} users, below {1 / users:.2g} is expected and above 0,"
            " else a whole history could be published, or no noise is enough",
            f"leave it out for {1 / (10 * users):.2g}",
        )
    return delta


def plan_of(config: Config, users: int) -> PrivatePlan | None:
    """Return the plan of a training on so many users; None for one without privacy.

    Raises ConfigError for a budget that no noise keeps, or a delta with which a user could be published whole;
    RecommenderError without the extra `privacy`.
    """
    asked = config.training.privacy
    if asked is None:
        return None
    delta = delta_of(asked.delta, users, "training.privacy.delta")
    steps = sum(steps_of_private(s, asked.sampling_rate) for s in config.training.stages if s.stage == "rank")
    counts_noise = asked.counts_noise if config.training.popularity else None
    mechanism = Mechanism(asked.sampling_rate, steps, counts_noise)
    noise = noise_for(mechanism, asked.epsilon, delta)
    spent = epsilon_of(mechanism, noise, delta, asked.epsilon)
    return PrivatePlan(
        spent,
        delta,
        users,
        asked.sampling_rate,
        steps,
        noise,
        asked.max_norm,
        counts_noise,
        asked.seed is not None,
    )


class Secret:
    """What sampling, noise and dropout are drawn from; a step of a resumed run draws the same again."""

    def __init__(self, number: int) -> None:
        """`number`: whoever knows it can take the noise off."""
        self._number = number

    @classmethod
    def of(cls, config: Config, folder: Path, resumed: bool) -> Secret:
        """Return the configured secret, or that of the run in `folder`; a run that begins draws one from the system.

        Raises RecommenderError if a run goes on and its secret is gone: other noise would spend the budget again.
        """
        asked = config.training.privacy
        if asked is not None and asked.seed is not None:
            return cls(asked.seed)
        path = folder / SECRET
        if not path.is_file():
            if resumed:
                raise RecommenderError(
                    f"{path}: is missing, so the noise of this run cannot be drawn again",
                    f"remove {folder} to start anew",
                )
            folder.mkdir(parents=True, exist_ok=True)
            write_text(path, secrets.token_hex(32))
            path.chmod(0o600)
        return cls(_read(path))

    def random(self, purpose: int, *place: int) -> np.random.Generator:
        """Return the generator of a purpose at a place: stage, step, user."""
        return np.random.default_rng(np.random.SeedSequence([self._number, purpose, *(n + 1 for n in place)]))


def _read(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"), 16)
    except (ValueError, UnicodeDecodeError):
        raise RecommenderError(f"{path}: is damaged", f"remove {path.parent} to start anew") from None


def spent(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a checkpoint's metrics say of its privacy; None for one that was trained without."""
    found = metrics.get("privacy")
    return found if isinstance(found, dict) else None
