"""From a configuration to a checkpoint: the whole run of encode, tokenize and train, each step on its own callable."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from recommender import assets, prompts
from recommender.baselines import FitData, ItemContent
from recommender.config import Config
from recommender.data import standins
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, Split, leave_one_out
from recommender.encoders.collaborative import collaborative_vectors
from recommender.encoders.features import Features
from recommender.encoders.pipeline import encode_catalogue, encode_views, fit_reductions, reduce
from recommender.errors import ConfigError, DataError
from recommender.inference.item_bias import init_popularity_bias
from recommender.justify import Style, explain_examples
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, from_pretrained, save_pretrained, start_from
from recommender.model.manifest import check_target
from recommender.model.network import SoftTargets
from recommender.progress import Progress
from recommender.semantic_ids.codes import SemanticIds
from recommender.training import StageResult, TrainingData, train
from recommender.training.distillation import teach
from recommender.training.loop import TEACHER, clear_state
from recommender.training.query_synthesis import QuerySynthesizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedData:
    """What every later step needs: items, who liked what, what the encoders saw."""

    catalogue: Catalogue
    split: Split
    features: Features


def load_catalogue(config: Config, progress: Progress | None = None) -> Catalogue:
    """Load the items, with stand-in media where the config asks for them."""
    catalogue = Catalogue.load(config.data.items, config.data.columns)
    if config.data.standin_media:
        sounds = config.encoders.audio is not None  # else nothing reads them
        catalogue = standins.make_standins(catalogue, standin_folder(catalogue), progress, sounds)
    return catalogue


def standin_folder(catalogue: Catalogue) -> Path:
    """Return where the stand-in media of a catalogue are kept."""
    return assets.cache_dir() / "standins" / catalogue.fingerprint[:12]


def prepare(config: Config, progress: Progress | None = None) -> PreparedData:
    """Read the tables, split the histories and encode the items. Collaborative vectors see training histories only."""
    catalogue = load_catalogue(config, progress)
    split = split_histories(config, catalogue)
    return PreparedData(catalogue, split, encode(config, catalogue, split.train.items, progress))


def split_histories(config: Config, catalogue: Catalogue) -> Split:
    """Read the interactions and set each user's last ones apart, unless the config wants to train on everything."""
    histories = Histories.load(
        config.data.interactions, catalogue, config.data.columns, minimum_rating=config.data.minimum_rating
    )
    if histories.report.dropped:
        told = histories.report
        logger.warning(
            "%d interactions rated below %g were dropped, and with them %d users",
            *(told.dropped, config.data.minimum_rating, told.dropped_users),
        )
    histories = histories.sampled(config.data.users)
    return leave_one_out(histories) if config.training.keep_test_out else _everything(histories)


def encode(
    config: Config, catalogue: Catalogue, histories: Sequence[np.ndarray], progress: Progress | None = None
) -> Features:
    """Encode every item; returns the features as a checkpoint holds them, rounded as it rounds them."""
    raw = encode_catalogue(catalogue, config.encoders, progress)
    features = reduce(raw, fit_reductions(raw, config.encoders.width))
    width = config.encoders.collaborative_width
    if width:
        vectors = collaborative_vectors(histories, len(catalogue), width, config.seed)
        features = features.with_modality("collaborative", vectors)
    return features.rounded()


def build(config: Config, prepared: PreparedData, progress: Progress | None = None) -> Checkpoint:
    """Make the untrained model: base, LoRA, rows that start from meaning, projectors. Deterministic in the seed."""
    ids = SemanticIds.build(config.semantic_ids, prepared.features, len(prepared.catalogue), config.seed)
    llm, tokenizer = load_llm(config.base, progress)
    torch.manual_seed(config.seed)
    model = RecommenderModel(llm, ids, prepared.features, config)
    if config.base.adapter:
        start_from(model, config.base.adapter)
    return Checkpoint(model, tokenizer, prepared.catalogue, config)


def run(config: Config, output: Path, recipe: str = "FILE", progress: Progress | None = None) -> list[StageResult]:
    """Do everything from the tables to a checkpoint in `output`. The training state lies in `output`.training
    until the checkpoint is written; a killed run goes on from it."""
    output = Path(output)
    check_target(output)
    prepared = prepare(config, progress)
    if not any(len(items) > 1 for items in prepared.split.train.items):
        raise DataError(
            "no user has two interactions left to train on",
            "give longer histories, or set training.keep_test_out: false",
        )
    checkpoint = build(config, prepared, progress)
    if config.training.popularity and checkpoint.model.ids.levels == 1:
        taken = [own for own in prepared.split.train.items if len(own)]
        init_popularity_bias(checkpoint.model.eval(), checkpoint.builder, taken, config.training.popularity)
    needs_text = any(stage.stage == "explain" for stage in config.training.stages)
    histories = prepared.split.train.items
    style, count = Style.of(config.prompt, config.justify), config.justify.examples
    pairs = explain_examples(prepared.catalogue, histories, count, config.seed, style) if needs_text else []
    work = output.absolute().with_name(f"{output.absolute().name}.training")
    queries = any(stage.query_share for stage in config.training.stages)
    query = QuerySynthesizer(prepared.catalogue, config.prompt.noun).draw if queries else None
    views = encode_views(prepared.catalogue, config.encoders, prepared.features, progress)
    data = TrainingData(
        checkpoint.builder, prepared.split, pairs, _teacher(config, prepared, work, progress), query, views
    )
    results = train(checkpoint.model, data, config, work, progress)
    checkpoint.metrics = {
        "name": output.name,
        "path": output.as_posix(),
        "recipe": recipe,
        "stages": [asdict(result) for result in results],
    }
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return results
    save_pretrained(checkpoint, output)
    clear_state(work)
    return results


def teach_writing(
    source: str | Path, output: Path, count: int | None = None, progress: Progress | None = None
) -> StageResult:
    """Train the stage `explain` of a checkpoint again and write the result to `output`; its ranking stays as it is.

    `count`: examples, by default as its config says. Raises ConfigError if its recipe has no such stage.
    """
    check_target(output)
    checkpoint = from_pretrained(source, progress=progress)
    config = checkpoint.config
    stages = tuple(stage for stage in config.training.stages if stage.stage == "explain")
    if not stages:
        raise ConfigError(f"{source}: its recipe has no stage `explain`", "add one to training.stages and train")
    split = split_histories(config, checkpoint.catalogue)
    only = config.model_copy(update={"training": config.training.model_copy(update={"stages": stages})})
    style = Style.of(config.prompt, config.justify)
    examples = count or config.justify.examples
    pairs = explain_examples(checkpoint.catalogue, split.train.items, examples, config.seed, style)
    work = output.absolute().with_name(f"{output.absolute().name}.training")
    result = train(checkpoint.model, TrainingData(checkpoint.builder, split, pairs), only, work, progress)[0]
    known = [stage for stage in checkpoint.metrics.get("stages", []) if stage["stage"] != "explain"]
    checkpoint.metrics["stages"] = [*known, asdict(result)]
    checkpoint.prompts = prompts.template_hashes()
    save_pretrained(checkpoint, output)
    clear_state(work)
    return result


def _teacher(config: Config, prepared: PreparedData, work: Path, progress: Progress | None) -> SoftTargets | None:
    """Fit the teacher on what the model learns from, and keep what it says in `work` for when the run is resumed."""
    if config.training.teacher is None or not any(stage.stage == "rank" for stage in config.training.stages):
        return None
    catalogue = prepared.catalogue
    content = ItemContent([catalogue.document(i) for i in range(len(catalogue))], lambda: prepared.features)
    data = FitData(prepared.split.train.items, len(catalogue), content, config.seed, progress)
    return teach(config.training.teacher, data, progress, work / TEACHER)


def _everything(histories: Histories) -> Split:
    nothing = np.full(len(histories), -1, dtype=np.int64)
    return Split(histories, nothing, nothing)
