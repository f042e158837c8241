"""Shrinking: a checkpoint that ranks with fewer layers, taught by its own former self beside the interactions.

The first layers stay, with what LoRA learned in them; the others go. What is left learns what the whole model expected at
each interaction, over all items (Hinton et al., "Distilling the knowledge in a neural network", 2015), and what really came.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from recommender.baselines.fusion.stored import FUSION_FILE
from recommender.config import Config, StageConfig
from recommender.errors import ConfigError
from recommender.model.card import APART, FORGETTING, SHRUNK
from recommender.model.checkpoint import CONFIG, Checkpoint, from_pretrained, resolve, save_pretrained
from recommender.pipelines.continued import digest_of_weights
from recommender.pipelines.extend_listening import tuned_file
from recommender.pipelines.former_self import check_one_level, expected_by
from recommender.pipelines.private import refuse_private
from recommender.pipelines.train import check_long_enough, claimed_run, split_of, told_histories, work_folder
from recommender.progress import Progress, is_main_process
from recommender.training import StageResult, TrainingData, run_stages
from recommender.training.loop import TEACHER, clear_state

logger = logging.getLogger(__name__)
#: of metrics.json, what was measured with the layers that went, or is of files that are not taken over
_OF_THE_WHOLE = ("ranking", "fused_with", FORGETTING)


@dataclass(frozen=True)
class Shrinking:
    """How a checkpoint is made smaller.

    `layers`: how many of the ranking layers stay, the first ones. `epochs`: most epochs of the distillation; those with the
    best validation count. `weight`: the share of the whole model's softmax in the loss; the rest is of what came.
    """

    layers: int
    epochs: float = 4.0
    weight: float = 0.5


def shrink(
    source: str, shrinking: Shrinking, output: Path, recipe: Config | None = None, progress: Progress | None = None
) -> list[StageResult]:
    """Write a copy of a checkpoint to `output` whose ranking has fewer layers, and is distilled from all of them.

    Its items, writing and listening stay: rows and projectors are frozen, unless a `recipe` gives stages `rank` of its own,
    which then say everything but the teacher; its data section says where the tables are now. A run that was stopped goes
    on. What was fused is not taken over: its weights are of the whole model. Raises ConfigError for a number of layers
    that is not smaller, or several levels of ids; DataError if nobody's history is long enough to learn from.
    """
    stages = _check(source, shrinking, recipe)
    with claimed_run(output):
        moved = recipe is not None and recipe.data.items != Config.load(resolve(source) / CONFIG).data.items
        checkpoint = from_pretrained(source, recipe.data.items if moved and recipe else None, progress)
        if recipe is not None:
            checkpoint.config = checkpoint.config.model_copy(update={"data": recipe.data})
        whole = checkpoint.config.base.rank_layers
        split = split_of(checkpoint.config, told_histories(checkpoint.config, checkpoint.catalogue))
        check_long_enough(split)
        work, start = work_folder(output), digest_of_weights(source)
        teacher = expected_by(checkpoint, split.train.items, shrinking.weight, start, work / TEACHER, progress)
        _cut(checkpoint, shrinking.layers)
        data = TrainingData(checkpoint.builder, split, teacher=teacher, start=start)
        results = run_stages(checkpoint.model, data, _only(checkpoint.config, stages), work, progress)
        _tell(checkpoint, source, output, shrinking, whole, results)
        if is_main_process():
            if (resolve(source) / FUSION_FILE).is_file():
                logger.warning("%s ranks without what was fused with %s: recommender fuse fits it anew", output, source)
            save_pretrained(checkpoint, output, tuned_file(resolve(source), checkpoint))
            clear_state(work)
    return results


def _check(source: str, shrinking: Shrinking, recipe: Config | None) -> tuple[StageConfig, ...]:
    """Return the stages of the distillation. Raises what `shrink` does, before anything is loaded."""
    refuse_private(source, "distillation")
    own = Config.load(resolve(source) / CONFIG)
    layers = own.base.rank_layers
    if not 1 <= shrinking.layers < layers:
        less = f"give --layers between 1 and {layers - 1}" if layers > 1 else "it cannot become smaller"
        raise ConfigError(f"{source} ranks with {layers} layers, and {shrinking.layers} are not fewer", less)
    instead = "train a smaller one: recommender train with base.rank_layers"
    check_one_level(source, own.semantic_ids.levels, instead)
    if recipe is None:
        former = next((stage for stage in own.training.stages if stage.stage == "rank"), StageConfig(stage="rank"))
        frozen = {"rows_learning_rate": 0.0, "projector_learning_rate": 0.0, "teacher": True, "layers": True}
        return (former.model_copy(update={"epochs": shrinking.epochs, **frozen}),)
    stages = tuple(stage for stage in recipe.training.stages if stage.stage == "rank")
    if not stages:
        raise ConfigError("the recipe has no stage rank, so nothing would be distilled", "add one to training.stages")
    return stages


def _cut(checkpoint: Checkpoint, layers: int) -> None:
    checkpoint.model.cut_to(layers)
    # who is forgotten later could not be trained out of a softmax that learned of them
    changes = {"base.rank_layers": layers, "training.forgetting": None}
    checkpoint.config = checkpoint.model.config = checkpoint.config.updated(changes)


def _only(config: Config, stages: tuple[StageConfig, ...]) -> Config:
    """Return the config of the distillation alone: the recipe's own teacher is not asked."""
    return config.model_copy(
        update={"training": config.training.model_copy(update={"stages": stages, "teacher": None})}
    )


def _tell(
    checkpoint: Checkpoint, source: str, output: Path, shrinking: Shrinking, whole: int, results: list[StageResult]
) -> None:
    """Say what the checkpoint was made from, in place of what was measured of the whole model."""
    metrics = {name: value for name, value in checkpoint.metrics.items() if name not in _OF_THE_WHOLE}
    others = [stage for stage in metrics.get("stages", []) if stage["stage"] != "rank"]
    command = f"recommender shrink CHECKPOINT --layers {shrinking.layers}"
    distilled = [asdict(result) | {APART: command} for result in results]
    metrics |= {"name": output.name, "path": output.as_posix(), "stages": [*distilled, *others]}
    metrics[SHRUNK] = {"of": source, "before": whole, **asdict(shrinking)}
    checkpoint.metrics = metrics
