"""Teaching a checkpoint to listen by itself, and writing the conversations that it would learn from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from recommender import prompts
from recommender.adapters.lora import CONVERSE
from recommender.config import Config, StageConfig
from recommender.conversations.made import MadeConversation
from recommender.conversations.making import ConversationMaker
from recommender.conversations.outside import OutsideWorks
from recommender.conversations.taste import Taste
from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.files import replacing
from recommender.model.card import APART
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.pipelines.listening_data import READ, listening_stages, prepare_listening
from recommender.pipelines.private import refuse_private
from recommender.pipelines.train import claimed_run, split_histories, work_folder
from recommender.progress import Progress, is_main_process
from recommender.training import StageResult, TrainingData, run_stages
from recommender.training.loop import clear_state
from recommender.training.processes import join

#: ids of what suits best that are written
_SUITING = 10


def teach_listening(
    source: str | Path,
    output: Path,
    recipe: Config | None = None,
    changes: Mapping[str, Any] | None = None,
    items: str | None = None,
    work: Path | None = None,
    progress: Progress | None = None,
    start: str | None = None,
) -> StageResult:
    """Train the stage `converse` of a checkpoint, and write the result to `output`; its ranking and writing stay the same.

    `recipe`: names the stage's settings, its depth and `training.outside`; by default the checkpoint's own. `changes`:
    dotted keys of the config that are replaced. `items`: their table, if it is not where the checkpoint says. A run that
    was stopped goes on from `work`, by default a folder beside `output`. `start`: a checkpoint that listens already, to
    begin from what it has learned.
    """
    refuse_private(source, "the stage converse")
    with claimed_run(output):
        return _teach(source, output, recipe, dict(changes or {}), items, work or work_folder(output), progress, start)


def _teach(
    source: str | Path,
    output: Path,
    recipe: Config | None,
    changes: dict[str, Any],
    items: str | None,
    work: Path,
    progress: Progress | None,
    start: str | None,
) -> StageResult:
    checkpoint = from_pretrained(source, items, progress)
    checkpoint.config = config = _with_recipe(checkpoint.config, recipe).updated(changes)
    checkpoint.model.config = config
    split = split_histories(config, checkpoint.catalogue)
    with join(config.base.device).one_first():
        conversations = prepare_listening(checkpoint, split.train.items, work, progress, start)
    training = config.training.model_copy(update={"stages": listening_stages(config)})
    only = config.model_copy(update={"training": training})
    data = TrainingData(checkpoint.builder, split, conversations=conversations)
    result = run_stages(checkpoint.model, data, only, work, progress)[0]
    others = [stage for stage in checkpoint.metrics.get("stages", []) if stage["stage"] != CONVERSE]
    command = "recommender conversations teach CHECKPOINT" + (f" --start {Path(start).name}" if start else "")
    checkpoint.metrics["stages"] = [*others, asdict(result) | {APART: command}]
    checkpoint.prompts = checkpoint.prompts | {CONVERSE: prompts.template_hashes()[CONVERSE]}
    if is_main_process():
        save_pretrained(checkpoint, output)
        clear_state(work)
        (work / READ).unlink(missing_ok=True)
    return result


def _with_recipe(own: Config, recipe: Config | None) -> Config:
    """Return a checkpoint's config with what a recipe says of listening: stage, depth, languages and outside works."""
    recipe = recipe or own
    stages = listening_stages(recipe) or (StageConfig(stage="converse"),)
    others = tuple(stage for stage in own.training.stages if stage.stage != "converse")
    training = own.training.model_copy(
        update={"stages": (*others, *stages), "outside": recipe.training.outside or own.training.outside}
    )
    base = own.base.model_copy(
        update={"converse_layers": recipe.base.converse_layers, "languages": recipe.base.languages}
    )
    return own.model_copy(update={"training": training, "base": base})


def write_conversations(
    engine: Recommender, path: Path, count: int, outside: str | None, seed: int, progress: Progress | None = None
) -> int:
    """Write made-up conversations about an engine's items as JSON lines; returns how many.

    Each has `known` (item ids), `messages`, `meanings` (what is meant by each name and value of the user's messages) and
    `suits` (the ids of what suits best at the end).
    """
    config, catalogue = engine.config, engine.catalogue
    histories = split_histories(config, catalogue).train.items
    table = None if outside is None else Catalogue.load(outside)
    works = None if table is None else OutsideWorks(table, catalogue)
    taste = Taste.learned(catalogue, histories, None if works is None else works.works)
    maker = ConversationMaker(taste, histories, config.prompt.noun, works, config.base.languages)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number, made in enumerate(islice(maker.conversations(seed), count), 1):
            file.write(json.dumps(_as_line(made, taste), ensure_ascii=False) + "\n")
            if progress:
                progress("conversations", number, count)
    return count


def _as_line(made: MadeConversation, taste: Taste) -> dict[str, Any]:
    ids = taste.catalogue.item_ids
    best = np.argsort(-taste.scores(made.wishes[-1][1]), kind="stable")[:_SUITING]
    return {
        "known": [ids[item] for item in made.profile],
        "messages": [{"role": turn.role, "content": turn.text} for turn in made.turns],
        "meanings": [
            [{"text": part.text, "meant": part.meant} for part in turn.parts if part.meant] for turn in made.turns
        ],
        "suits": [ids[int(item)] for item in best],
    }
