"""What the training loop does otherwise in a private stage: whose batches a step has, how they are summed, what is said.

Nothing else may tell of users: there is no validation, so the last weights count; losses are neither logged nor shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recommender.config import Config, PrivacyConfig, StageConfig
from recommender.errors import ConfigError, RecommenderError
from recommender.model import RecommenderModel
from recommender.model.devices import is_sharded, uses_deepspeed
from recommender.prompting.packing import Batch
from recommender.training.epochs import TrainingData
from recommender.training.gradients import Stepper
from recommender.training.private_directions import directions_of
from recommender.training.private_plan import PrivatePlan, Secret, plan_of, steps_of_private
from recommender.training.private_sum import PrivateStepper, weight_of
from recommender.training.private_users import PrivateUsers
from recommender.training.processes import Processes


@dataclass
class PrivateStage:
    """The private side of one stage. `steps`: how many it takes; `steps_of_epoch`: until each user took part once."""

    plan: PrivatePlan
    users: PrivateUsers
    steps: int
    steps_of_epoch: int
    asked: PrivacyConfig
    step: int = 0

    def trains(self, name: str) -> bool:
        """Whether a parameter is trained, by its name."""
        return weight_of(name, self.asked.trains) is not None

    def parts(self, step: int) -> list[Batch]:
        """Return one batch for each user of a step."""
        return self.users.parts(step)

    def seed(self, step: int, part: int) -> int:
        """Return the seed of torch for a user of a step."""
        return self.users.seed(step, part)

    def stepper(self, model: RecommenderModel, optimizer: torch.optim.Optimizer, processes: Processes) -> Stepper:
        """Return what steps with clipped and noisy sums.

        Raises RecommenderError for several processes, ConfigError for a catalogue whose softmax is sampled.
        """
        if not processes.alone or is_sharded() or uses_deepspeed():
            raise RecommenderError(
                "training.privacy: private training runs in one process",
                "start it without accelerate launch or torchrun",
            )
        if model.trains_few_rows:
            raise ConfigError(
                f"training.privacy: the softmax over {len(model.codes):,} items is sampled, by counts of users",
                "set training.softmax: chunked",
            )
        plan = self.plan
        few = None
        if self.asked.content_directions is not None:
            few = directions_of(
                model, self.users.data.builder, self.asked.content_directions, self.asked.state_directions
            )
        return PrivateStepper(
            model, optimizer, processes, plan.max_norm, plan.noise, plan.expected, self._noise, self.asked.trains, few
        )

    def _noise(self) -> np.random.Generator:
        return self.users.noise(self.step)


def open_private(
    data: TrainingData,
    stage: StageConfig,
    config: Config,
    number: int,
    prefix: np.ndarray,
    folder: Path,
    resumed: bool,
) -> PrivateStage | None:
    """Return the private side of a stage; None for one that learns from no users, or without privacy.

    `folder`: of the state of the run, and its secret.
    """
    asked = config.training.privacy
    if asked is None or stage.stage != "rank":
        return None
    plan = plan_of(config, len(data.split.train))
    assert plan is not None
    users = PrivateUsers(data, stage, number, plan, Secret.of(config, folder, resumed), asked.pieces, prefix)
    per_epoch = max(round(1 / asked.sampling_rate), 1)
    return PrivateStage(plan, users, steps_of_private(stage, asked.sampling_rate), per_epoch, asked)
