"""What a recipe may not ask for beside `training.privacy` or `training.forgetting`: whatever else learns from users."""

from __future__ import annotations

from recommender.config.encoders import EncodersConfig
from recommender.config.training import TrainingConfig

_WRITES_OR_LISTENS = {
    "explain": "its texts are written from users' histories; take the writing of base.adapter",
    "converse": "it counts what users had; take a model that listens",
}


def check_private(training: TrainingConfig, encoders: EncodersConfig) -> None:
    """Raise ValueError for the first part of a recipe that privacy does not cover; nothing without `training.privacy`."""
    if training.privacy is None:
        return
    for reason in (*_reasons(training, encoders), _sampled(training), _by_activity(training)):
        if reason:
            raise ValueError(f"training.privacy: {reason}")


def check_forgetting(training: TrainingConfig, encoders: EncodersConfig) -> None:
    """Raise ValueError for the first part of a recipe that learns from all users at once, if it is to be in shards."""
    forgetting = training.forgetting
    if forgetting is None:
        return
    for reason in (*_reasons(training, encoders), *_shard_reasons(training), _moments_reason(training)):
        if reason:
            raise ValueError(f"training.forgetting: {reason}")


def _reasons(training: TrainingConfig, encoders: EncodersConfig) -> list[str | None]:
    stages = [stage.stage for stage in training.stages]
    cannot = next((stage for stage in stages if stage in _WRITES_OR_LISTENS), None)
    return [
        None if "rank" in stages else "no stage learns from users: there is no stage rank",
        cannot and f"the stage {cannot} is not possible beside it: {_WRITES_OR_LISTENS[cannot]}",
        None if training.teacher is None else "a teacher learns from all users; set training.teacher: null",
        "collaborative vectors are computed from all users; set encoders.collaborative_width: 0, or name vectors"
        " of others: encoders.collaborative"
        if encoders.collaborative_width and encoders.collaborative is None
        else None,
    ]


def _sampled(training: TrainingConfig) -> str | None:
    if training.softmax != "sampled":
        return None
    return "a sampled softmax draws by counts of users; set training.softmax: full or chunked"


def _by_activity(training: TrainingConfig) -> str | None:
    if all(stage.dropout_by_activity is None for stage in training.stages):
        return None
    return "dropout by activity goes by counts of users; leave dropout_by_activity out of all stages"


def _shard_reasons(training: TrainingConfig) -> list[str | None]:
    return [
        "a private training hides everybody, and has no shards; set one of the two to null"
        if training.privacy is not None
        else None,
        "popularity is counted over all users; set training.popularity: 0" if training.popularity else None,
        "a training that is streamed has no shards; set training.stream_users: null"
        if training.stream_users is not None
        else None,
    ]


def _moments_reason(training: TrainingConfig) -> str | None:
    assert training.forgetting is not None
    moments, shards = training.forgetting.moments, training.forgetting.shards
    if moments is None or (len(moments) == shards - 1 and list(moments) == sorted(moments)):
        return None
    return f"moments: {shards} shards have {shards - 1} moments between them, in order of time"
