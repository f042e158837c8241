"""Training the ranking of a checkpoint further: with later stages of its recipe, on the same items."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from recommender.config import Config, StageConfig, TeacherConfig
from recommender.errors import ConfigError
from recommender.model.card import APART
from recommender.model.checkpoint import CONFIG, Checkpoint, from_pretrained, resolve, save_pretrained
from recommender.model.manifest import weights_of
from recommender.model.trained_on import TrainedOn
from recommender.pipelines.former_self import check_one_level, expected_by
from recommender.pipelines.private import refuse_private
from recommender.pipelines.train import claimed_run, soft_targets, split_of, told_histories, work_folder
from recommender.progress import Progress, is_main_process
from recommender.training import StageResult, TrainingData, run_stages
from recommender.training.distillation import ITSELF
from recommender.training.loop import TEACHER, clear_state


def continue_ranking(
    source: str, recipe: Config, output: Path, from_stage: int, progress: Progress | None = None
) -> list[StageResult]:
    """Train the stages `rank` of a recipe from its `from_stage`-th stage on, beginning with a checkpoint as it is.

    Its items, writing and listening stay; with `base.memory` in the recipe it gets a memory, if it has none, and its prompts
    spell out as many items as the recipe's `prompt.titled`, if it says so. The teacher of the recipe is fitted anew;
    "itself" is what the checkpoint expects before it goes on, which keeps what it knew (Li and Hoiem, "Learning without
    forgetting", ECCV 2016). A run that was stopped goes on. Raises ConfigError if no such stage is left.
    """
    stages = _stages(recipe, from_stage)
    refuse_private(source, "a training that goes on")
    if recipe.training.privacy is not None:
        raise ConfigError(
            "training.privacy: a training that goes on would tell of what its checkpoint learned without noise",
            "train from the start, with a checkpoint of other users as base.adapter",
        )
    itself = _itself(source, recipe, stages)
    with claimed_run(output):
        # the recipe says where the items are now, if the checkpoint's own place is another
        moved = recipe.data.items != Config.load(resolve(source) / CONFIG).data.items
        checkpoint = from_pretrained(source, recipe.data.items if moved else None, progress)
        config = _with_recipe(checkpoint.config, recipe)
        histories = told_histories(config, checkpoint.catalogue)
        split = split_of(config, histories)
        work, start = work_folder(output), digest_of_weights(source)
        teacher = None
        if itself is not None:  # asked before anything of it changes
            teacher = expected_by(checkpoint, split.train.items, itself.weight, start, work / TEACHER, progress)
        checkpoint.config = checkpoint.model.config = config
        if config.base.memory:
            checkpoint.model.add_memory(config.base.memory)
        only = config.model_copy(update={"training": config.training.model_copy(update={"stages": stages})})
        if itself is None:
            teacher = soft_targets(only, checkpoint.catalogue, checkpoint.model.features, split, work, progress)
        data = TrainingData(checkpoint.builder, split, teacher=teacher, start=start)
        results = run_stages(checkpoint.model, data, only, work, progress)
        _tell(checkpoint, results, from_stage)
        if checkpoint.trained_on is not None:  # it may learn more of each history than before
            earlier, items = checkpoint.trained_on.earlier, checkpoint.catalogue
            checkpoint.trained_on = TrainedOn.of(histories, split.train.items, items, earlier)
        if is_main_process():
            save_pretrained(checkpoint, output)
            clear_state(work)
    return results


def _stages(recipe: Config, from_stage: int) -> tuple[StageConfig, ...]:
    stages = tuple(stage for stage in recipe.training.stages[from_stage - 1 :] if stage.stage == "rank")
    if not stages:
        count = len(recipe.training.stages)
        raise ConfigError(
            f"the recipe has no stage rank from its stage {from_stage} on; it has {count} stages",
            "add one behind the others, see docs/fine-tuning.md",
        )
    return stages


def _itself(source: str, recipe: Config, stages: Sequence[StageConfig]) -> TeacherConfig | None:
    """Return the settings of the checkpoint as its own teacher, None if it is none, or no stage follows a teacher."""
    teacher = recipe.training.teacher
    if teacher is None or teacher.baseline != ITSELF or not any(stage.teacher for stage in stages):
        return None
    own = Config.load(resolve(source) / CONFIG)
    check_one_level(source, own.semantic_ids.levels, "name a baseline in training.teacher.baseline")
    if teacher.ends:
        raise ConfigError(
            f"training.teacher.ends: {ITSELF!r} tells of interactions that came, not of what follows them",
            "leave it out",
        )
    return teacher


def _with_recipe(own: Config, recipe: Config) -> Config:
    kept = {name: getattr(recipe.training, name) for name in ("stages", "teacher", "validate_on")}
    if recipe.training.teacher is not None and recipe.training.teacher.baseline == ITSELF:
        kept["teacher"] = own.training.teacher  # who trains that config from the start has no checkpoint to ask
    base = own.base.model_copy(update={"memory": own.base.memory or recipe.base.memory})
    titled = recipe.prompt.titled if "titled" in recipe.prompt.model_fields_set else own.prompt.titled
    prompt = own.prompt.model_copy(update={"titled": titled})
    training = own.training.model_copy(update=kept)
    return own.model_copy(update={"base": base, "prompt": prompt, "training": training, "data": recipe.data})


def digest_of_weights(source: str | Path) -> str:
    """Return a hash of what decides the answers of a checkpoint."""
    return hashlib.sha256(repr(sorted(weights_of(resolve(source)).items())).encode()).hexdigest()


def _tell(checkpoint: Checkpoint, results: Sequence[StageResult], from_stage: int) -> None:
    """Add how the stages ended behind those of the same kind."""
    told = list(checkpoint.metrics.get("stages", []))
    last = max((n for n, stage in enumerate(told) if stage["stage"] == "rank"), default=-1)
    command = f"recommender train --start CHECKPOINT --from-stage {from_stage}"
    further = [asdict(result) | {APART: command} for result in results]
    checkpoint.metrics["stages"] = [*told[: last + 1], *further, *told[last + 1 :]]
