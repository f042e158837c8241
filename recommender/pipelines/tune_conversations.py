"""Tuning a model that listens to conversations of one's own people: a few weights, fitted on every third dialogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recommender.conversations.cases import Case, read_cases, split
from recommender.conversations.outside import WorkIndex
from recommender.conversations.spoken import SpokenOf, spoken_of
from recommender.conversations.taste import Taste
from recommender.conversations.tuned import TUNED, Tuned, known_works, tune
from recommender.engine import Recommender
from recommender.errors import CheckpointError
from recommender.model.checkpoint import save_copy_with
from recommender.pipelines.private import refuse_private
from recommender.pipelines.train import split_histories
from recommender.progress import Progress


def tune_conversations(
    source: str | Path,
    dialogues: Path,
    output: Path,
    items: str | None = None,
    interactions: str | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Write a copy of a checkpoint to `output` that ranks in conversations as those of `dialogues` tell.

    Every third dialogue is read. Nothing of it is kept but weights, and how often each item was spoken of. Raises
    CheckpointError for a model that has not learned to listen, DataError for a wrong file.
    """
    refuse_private(source, "the weights of conversations")
    engine = Recommender.from_pretrained(source, items, progress)
    if not engine.listens:
        raise CheckpointError(f"{source}: has not learned to listen", "recommender conversations teach")
    cases, _ = split(read_cases(dialogues, engine.catalogue))
    changed = {"data.interactions": interactions} if interactions else {}
    config = engine.config.updated(changed, "--interactions") if changed else engine.config
    taste, works = taste_of(engine, split_histories(config, engine.catalogue).train.items)
    heard, spoken = heard_and_spoken(engine, cases, works, progress)
    tuned = tune(taste, cases, spoken, heard, engine.likeness, works)
    told = {"conversations": len(cases), "weights": {name: round(w, 4) for name, w in tuned.weights.items()}}
    save_copy_with(source, output, {TUNED: lambda path: tuned.save(path.parent)}, {"tuned": told})
    return tuned


def taste_of(engine: Recommender, histories: Sequence[np.ndarray]) -> tuple[Taste, WorkIndex | None]:
    """Return plain signals of an engine's items, counted in histories, and the works that they lack, if a table is named."""
    works = known_works(engine.config.training.outside)
    return Taste.learned(engine.catalogue, histories, None if works is None else works.works), works


def heard_and_spoken(
    engine: Recommender, cases: Sequence[Case], works: WorkIndex | None, progress: Progress | None = None
) -> tuple[np.ndarray, list[SpokenOf]]:
    """Return what the model hears of cases, log-probabilities [cases, items], and what they speak of."""
    heard, spoken = [], []
    for number, case in enumerate(cases, 1):
        messages = [(turn.role, turn.content) for turn in case.turns]
        conversation = engine.converse(messages)
        heard.append(engine.hear_prompts([conversation.prompt])[0])
        spoken.append(spoken_of(messages, conversation.mentions, works))
        if progress:
            progress("listening", number, len(cases))
    return np.stack(heard), spoken
