"""Which arm of an experiment somebody has: by a salted hash, so it is the same at every request and on every server.

Experiments are hashed by their own names. So which arm somebody has in one says nothing of their arm in another.
"""

from __future__ import annotations

from recommender.config import ArmConfig, ExperimentConfig
from recommender.experiments.draws import uniform


def assigned(experiment: ExperimentConfig, unit: str) -> ArmConfig | None:
    """Return the arm of a unit, None for one that takes no part. `unit`: a person's pseudonym, or a request's id.

    An arm keeps its people while arms behind it change their shares.
    """
    place, end = uniform("arm", experiment.name, experiment.salt, unit), 0.0
    for arm in experiment.arms:
        end += arm.share
        if place < end:
            return arm
    return None
