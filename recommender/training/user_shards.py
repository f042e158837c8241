"""Training in shards of users, so that somebody can be forgotten exactly: only what learned from them is trained again.

After Bourtoule et al., "Machine unlearning", IEEE S&P 2021 (sharded, isolated training). Two ways. *average*: each shard is
trained from the start by itself; the model is the start and the mean of what the shards learned. *chain*: shards are
cohorts of users in the order in which they came, trained one after the other; to forget somebody, training goes back to the
state from before their cohort. What a shard ended with is kept beside the checkpoint, under a digest of all that decided it:
a shard whose digest is the same is not trained again, so the result equals a training that never had those who are gone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recommender.config import Config, ForgettingConfig
from recommender.data.histories import Histories
from recommender.errors import DataError, RecommenderError
from recommender.files import replacing
from recommender.model import RecommenderModel
from recommender.progress import Progress
from recommender.training import run_state
from recommender.training.epochs import TrainingData
from recommender.training.loop import StageResult, clear_state, run_stages
from recommender.training.processes import join
from recommender.training.validation import validation_ndcg

logger = logging.getLogger(__name__)
Weights = dict[str, Tensor]
_FACTS, _STAGES = "facts", "stages"


@dataclass(frozen=True)
class ShardedResult:
    """How a training in shards ended. `trained`: the numbers of the shards that were trained now, from 1."""

    stages: list[StageResult]
    trained: tuple[int, ...]
    shards: int


def shards_folder(output: Path) -> Path:
    """Return the folder of what the shards of a checkpoint learned: it tells of users, and lies beside the checkpoint."""
    return output.absolute().with_name(f"{output.absolute().name}.shards")


def with_moments(forgetting: ForgettingConfig, histories: Histories) -> ForgettingConfig:
    """Return the settings with the moments between the shards of a chain; equal numbers of users unless they are given.

    They are kept in the checkpoint: if they were drawn anew when somebody is gone, all shards would have other users.
    Raises DataError for a chain of interactions without times.
    """
    if forgetting.way != "chain" or forgetting.moments is not None:
        return forgetting
    first = np.sort(_first_times(histories))
    places = [len(first) * shard // forgetting.shards for shard in range(1, forgetting.shards)]
    return forgetting.model_copy(update={"moments": tuple(float(first[place]) for place in places)})


def shard_of_users(forgetting: ForgettingConfig, histories: Histories) -> np.ndarray:
    """Return the shard of each user, int64 [users], from 0: by a hash of the id, or by their first interaction.

    It depends on the user alone, so nobody changes shards because somebody else is gone.
    """
    if forgetting.way == "average":
        digests = (hashlib.sha256(user.encode()).digest() for user in histories.user_ids)
        return np.array([int.from_bytes(digest[:8], "big") % forgetting.shards for digest in digests], np.int64)
    assert forgetting.moments is not None
    return np.searchsorted(np.array(forgetting.moments), _first_times(histories), side="right").astype(np.int64)


def _first_times(histories: Histories) -> np.ndarray:
    if histories.times is None:
        raise DataError(
            "training.forgetting.way: chain goes by when users came, and the interactions have no times",
            "set it to average, or name data.columns.timestamp",
        )
    return np.array([times[0] for times in histories.times], np.float64)


def run_in_shards(
    model: RecommenderModel,
    data: TrainingData,
    config: Config,
    shard: np.ndarray,
    kept: Path,
    work: Path,
    progress: Progress | None = None,
) -> ShardedResult:
    """Train a model in place, shard by shard, and keep what each of them learned.

    `shard`: of each user of `data.split`, int64 [users]. `kept`: the folder of what shards learned; a shard that is there,
    and that the same users and settings decided, is taken as it is. `work`: for the states of a run, from which a killed one
    goes on. Raises RecommenderError for several processes, and what `run_stages` raises.
    """
    forgetting = config.training.forgetting
    assert forgetting is not None
    if not join(config.base.device).alone:
        raise RecommenderError(
            "training.forgetting: a training in shards runs in one process", "start it without accelerate launch"
        )
    shards = _Shards(model, data, config, kept, work, progress)
    start = run_state.trainable(model)
    if forgetting.way == "chain":
        ends, stages, trained = shards.chain(start, shard)
    else:
        ends, stages, trained = shards.average(start, shard)
    run_state.restore(model, ends)
    model.eval()
    return ShardedResult(_joined(model, data, config, stages), trained, forgetting.shards)


class _Shards:
    """What the shards of one training share."""

    def __init__(
        self,
        model: RecommenderModel,
        data: TrainingData,
        config: Config,
        kept: Path,
        work: Path,
        progress: Progress | None,
    ) -> None:
        assert config.training.forgetting is not None
        self.model, self.data, self.config, self.kept, self.work = model, data, config, kept, work
        self.progress, self.count = progress, config.training.forgetting.shards
        self.scale = config.training.forgetting.scale

    def average(self, start: Weights, shard: np.ndarray) -> tuple[Weights, list[StageResult], tuple[int, ...]]:
        """Return the start and the mean of what the shards learned, each as heavy as its interactions are many."""
        ends = {name: value.double() for name, value in start.items()}
        sizes = np.array([self._interactions(shard == number) for number in range(self.count)])
        stages, trained = [], []
        for number in range(self.count):
            learned, results, new = self._shard(number, shard == number, start, _digest(start))
            for name, value in learned.items():
                ends[name] += self.scale * sizes[number] / max(sizes.sum(), 1) * (value - start[name]).double()
            stages += results
            trained += [number + 1] if new else []
        return {name: value.to(start[name].dtype) for name, value in ends.items()}, stages, tuple(trained)

    def chain(self, start: Weights, shard: np.ndarray) -> tuple[Weights, list[StageResult], tuple[int, ...]]:
        """Return what the last shard ended with; each begins where the one before it ended."""
        weights, stages, trained = start, [], []
        for number in range(self.count):
            learned, results, new = self._shard(number, shard == number, weights, _digest(weights))
            weights = weights | learned
            stages += results
            trained += [number + 1] if new else []
        return weights, stages, tuple(trained)

    def _interactions(self, users: np.ndarray) -> int:
        return sum(map(len, self.data.split.train.chosen(users).items))

    def _shard(
        self, number: int, users: np.ndarray, start: Weights, start_digest: str
    ) -> tuple[Weights, list[StageResult], bool]:
        """Return what changed in a shard, how its stages ended, and whether it was trained now."""
        split = self.data.split.chosen(users)
        if not any(len(items) > 1 for items in split.train.items):
            self._path(number).unlink(missing_ok=True)
            return {}, [], False
        data = replace(self.data, split=split, start=start_digest)
        facts = _hash(run_state.facts_of(self.config, data, self.model))
        if (known := _read(self._path(number), facts)) is not None:
            logger.info("shard %d of %d is as before", number + 1, self.count)
            return *known, False
        self._path(number).unlink(missing_ok=True)  # it tells of somebody who is not there now
        run_state.restore(self.model, start)
        work = self.work / f"shard-{number + 1}"
        stages = run_stages(self.model, data, self.config, work, self._told(number))
        ends = run_state.trainable(self.model)
        changed = {name: value for name, value in ends.items() if not torch.equal(value, start[name])}
        _write(self._path(number), changed, facts, stages)
        clear_state(work)
        return changed, stages, True

    def _path(self, number: int) -> Path:
        return self.kept / f"shard-{number + 1}.safetensors"

    def _told(self, number: int) -> Progress | None:
        progress: Callable[[str, int, int], None] | None = self.progress
        if progress is None:
            return None
        return lambda what, done, total: progress(f"shard {number + 1} of {self.count}, {what}", done, total)


def _joined(
    model: RecommenderModel, data: TrainingData, config: Config, stages: Sequence[StageResult]
) -> list[StageResult]:
    """Return one result a stage of the recipe: steps and minutes of all shards; of `rank` the validation of the whole."""
    joined, count = [], len(config.training.stages)
    for place, stage in enumerate(config.training.stages):
        parts = stages[place::count]
        validation = None
        if stage.stage == "rank" and place + 1 == count:
            beam = config.decoding.beam
            validation = validation_ndcg(model, data.builder, data.split, stage.validation_users, beam)
        steps, minutes = sum(part.steps for part in parts), sum(part.minutes for part in parts)
        joined.append(StageResult(stage.stage, validation, steps, minutes))
    return joined


def _write(path: Path, changed: Weights, facts: str, stages: Sequence[StageResult]) -> None:
    told = {_FACTS: facts, _STAGES: json.dumps([vars(stage) for stage in stages])}
    with replacing(path, private=True) as temporary:
        save_file({name: value.contiguous() for name, value in changed.items()}, temporary, told)


def _read(path: Path, facts: str) -> tuple[Weights, list[StageResult]] | None:
    """Return what a shard learned and how its stages ended; None unless it is there, and these facts decided it."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            if told.get(_FACTS) != facts:
                return None
            return dict(_tensors(file)), [StageResult(**stage) for stage in json.loads(told[_STAGES])]
    except (SafetensorError, KeyError, TypeError, ValueError):
        logger.warning("%s: is damaged; its shard is trained again", path)
        return None


def _tensors(file: safe_open) -> Iterator[tuple[str, Tensor]]:
    for name in file.keys():  # noqa: SIM118 -- no mapping
        yield name, file.get_tensor(name)


def _digest(weights: Weights) -> str:
    hasher = hashlib.sha256()
    for name, value in sorted(weights.items()):
        hasher.update(name.encode())
        hasher.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return hasher.hexdigest()


def _hash(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
