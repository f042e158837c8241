"""What a recipe may not ask for beside `training.privacy`: whatever else learns from users, without noise."""

from __future__ import annotations

from recommender.config.encoders import EncodersConfig
from recommender.config.training import TrainingConfig

_WRITES_OR_LISTENS = {
    "explain": "its texts are written from users' histories; take the writing of base.adapter",
    "converse": "it counts what users had; take a model that listens without privacy",
}


def check_private(training: TrainingConfig, encoders: EncodersConfig) -> None:
    """Raise ValueError for the first part of a recipe that privacy does not cover; nothing without `training.privacy`."""
    if training.privacy is None:
        return
    for reason in _reasons(training, encoders):
        if reason:
            raise ValueError(f"training.privacy: {reason}")


def _reasons(training: TrainingConfig, encoders: EncodersConfig) -> list[str | None]:
    stages = [stage.stage for stage in training.stages]
    cannot = next((stage for stage in stages if stage in _WRITES_OR_LISTENS), None)
    return [
        None if "rank" in stages else "no stage learns from users: there is no stage rank",
        cannot and f"the stage {cannot} cannot be private: {_WRITES_OR_LISTENS[cannot]}",
        None if training.teacher is None else "a teacher learns from users without noise; set training.teacher: null",
        "collaborative vectors are computed from users without noise; set encoders.collaborative_width: 0, or name vectors"
        " of others: encoders.collaborative"
        if encoders.collaborative_width and encoders.collaborative is None
        else None,
        "a sampled softmax draws by counts of users; set training.softmax: full or chunked"
        if training.softmax == "sampled"
        else None,
    ]
