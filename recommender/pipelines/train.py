"""Training from tables to a checkpoint: `train` runs all steps; each step can be called by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from recommender import assets, prompts
from recommender.adapters.lora import EXPLAIN, RANK
from recommender.baselines import FitData, ItemContent
from recommender.config import Config, Modality, StageConfig
from recommender.data import standins
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, Split, leave_one_out
from recommender.encoders.broken_media import without_broken_media
from recommender.encoders.collaborative import collaborative_vectors
from recommender.encoders.features import Features
from recommender.encoders.imputation import impute
from recommender.encoders.labels import label_media, said_of_labels
from recommender.encoders.pipeline import RawFeatures, encode_catalogue, encode_views, fit_reductions, reduce
from recommender.errors import DataError
from recommender.files import locked
from recommender.inference.item_bias import init_popularity_bias
from recommender.justify import Style, explain_examples
from recommender.justify.companions import Companions, count_companions
from recommender.model import RecommenderModel, load_llm
from recommender.model.card import APART, FORGETTING, LABELS, PRIVACY, UNTIL
from recommender.model.checkpoint import (
    Checkpoint,
    check_adapter,
    copy_adapter,
    from_pretrained,
    resolve,
    save_pretrained,
)
from recommender.model.manifest import claimed
from recommender.model.soft_targets import SoftTargets
from recommender.model.trained_on import TrainedOn
from recommender.pipelines.left_out import NamedStore, without_the_forgotten
from recommender.pipelines.listening_data import READ, has_listening, listening_stages, prepare_listening
from recommender.pipelines.private import check_public_start, private_counts, promise_of, refuse_private
from recommender.pipelines.rows_taken_over import take_over_rows
from recommender.progress import Progress, is_main_process
from recommender.semantic_ids.codes import SemanticIds
from recommender.training import StageResult, TrainingData, run_stages
from recommender.training.distillation import Known, make_soft_targets, teacher_names
from recommender.training.loop import TEACHER, clear_state
from recommender.training.private_plan import plan_of
from recommender.training.processes import join
from recommender.training.query_synthesis import QuerySynthesizer
from recommender.training.run_state import progress_of
from recommender.training.user_shards import run_in_shards, shard_of_users, shards_folder, with_moments

logger = logging.getLogger(__name__)
#: users up to which a checkpoint keeps a sketch of what it learned from, and counts what all of them had together
MOST_SKETCHED = 1_000_000


@dataclass(frozen=True)
class PreparedData:
    """The input of all later steps: items, histories split into train, validation and test, and encoder vectors.

    `histories`: the whole ones. `sources`: modality -> a hash of what was encoded.
    """

    catalogue: Catalogue
    split: Split
    features: Features
    histories: Histories
    sources: Mapping[Modality, str]


@dataclass(frozen=True)
class TrainingResult:
    """A trained model: the folder of its checkpoint, how each stage ended, the number of users, and of
    `training.forgetting` the shards that were trained now."""

    checkpoint: Path
    stages: list[StageResult]
    users: int
    shards: tuple[int, ...] = ()


def load_catalogue(config: Config, progress: Progress | None = None) -> Catalogue:
    """Load the items: without media that cannot be read, and with stand-in media, where the config asks for it."""
    catalogue = without_broken_media(Catalogue.load(config.data.items, config.data), config, progress)
    # else nothing reads them
    pictures, sounds = config.encoders.named("image") is not None, config.encoders.named("audio") is not None
    if config.data.standin_media and (pictures or sounds):
        folder = standin_folder(catalogue)
        with locked(folder, "making stand-in media", wait=True):
            catalogue = standins.make_standins(catalogue, folder, progress, sounds, pictures)
    return catalogue


def standin_folder(catalogue: Catalogue) -> Path:
    """Return the folder of the stand-in media of a catalogue."""
    return assets.cache_dir() / "standins" / catalogue.fingerprint[:12]


def prepare(
    config: Config, progress: Progress | None = None, to_train: bool = False, store: NamedStore | None = None
) -> PreparedData:
    """Read the tables, split the histories and encode the items; collaborative vectors use training histories only.

    `to_train`: raise DataError for histories that nothing can be learnt from, before anything is encoded. `store`: see
    `without_the_forgotten`.
    """
    catalogue = load_catalogue(config, progress)
    histories = told_histories(config, catalogue, store)
    split = split_of(config, histories)
    if to_train:
        check_long_enough(split)
    raw = encode_catalogue(catalogue, config.encoders, progress)
    features = _features(config, raw, split.train.items)
    return PreparedData(catalogue, split, features, histories, raw.sources)


def split_histories(config: Config, catalogue: Catalogue) -> Split:
    """Read the interactions and hold out each user's last two, unless the config trains on everything."""
    return split_of(config, told_histories(config, catalogue))


def split_of(config: Config, histories: Histories) -> Split:
    """Hold out each user's last two interactions, as far as the config does not train on them."""
    training = config.training
    return (
        leave_one_out(histories, validate_on=training.validate_on) if training.keep_test_out else _everything(histories)
    )


def load_histories(config: Config, catalogue: Catalogue, store: NamedStore | None = None) -> Histories:
    """Read the interactions that a config selects, without people whom a store forgot. Raises DataError."""
    data = config.data
    histories = Histories.load(data.interactions, catalogue, data, minimum_rating=data.minimum_rating)
    return without_the_forgotten(config, histories, store).sampled(data.users)


def told_histories(config: Config, catalogue: Catalogue, store: NamedStore | None = None) -> Histories:
    """Return `load_histories`, and tell how many interactions were rated too low to be read. Raises DataError."""
    histories = load_histories(config, catalogue, store)
    report = histories.report
    if report.dropped:
        said = "%d interactions rated below %g were dropped, and with them %d users"
        logger.warning(said, report.dropped, config.data.minimum_rating, report.dropped_users)
    return histories


def encode(
    config: Config, catalogue: Catalogue, histories: Sequence[np.ndarray], progress: Progress | None = None
) -> Features:
    """Encode every item; returns the features rounded as a checkpoint holds them."""
    return _features(config, encode_catalogue(catalogue, config.encoders, progress), histories)


def _features(config: Config, raw: RawFeatures, histories: Sequence[np.ndarray]) -> Features:
    width = config.encoders.collaborative_width
    features = reduce(raw, fit_reductions(raw, config.encoders.width, width))
    if width and config.encoders.collaborative is None:
        vectors = collaborative_vectors(histories, raw.items, width, config.seed)
        features = features.with_modality("collaborative", vectors)
    return impute(features.rounded(), config.encoders).rounded()


def build(config: Config, prepared: PreparedData, progress: Progress | None = None) -> Checkpoint:
    """Make the untrained model: base, LoRA, projectors, rows from the items' vectors. Deterministic in the seed."""
    ids = SemanticIds.build(config.semantic_ids, prepared.features, len(prepared.catalogue), config.seed)
    llm, tokenizer = load_llm(config.base, progress)
    torch.manual_seed(config.seed)
    model = RecommenderModel(llm, ids, prepared.features, config)
    hashes = {RANK: prompts.template_hashes()[RANK]}
    if config.base.adapter:
        hashes |= copy_adapter(model, config.base.adapter)
    if config.base.adapter_items:
        take_over_rows(model, prepared.catalogue, config, progress)
    earlier = TrainedOn.load(resolve(config.base.adapter)) if config.base.adapter else None
    trained_on = companions = None
    if config.training.privacy is not None or config.training.forgetting is not None:
        check_public_start(config, earlier, prepared.histories, prepared.catalogue)
    if config.training.privacy is None:  # counts and sketches of users have no noise
        if len(prepared.histories) <= MOST_SKETCHED:
            trained_on = TrainedOn.of(prepared.histories, prepared.split.train.items, prepared.catalogue, earlier)
        companions = companions_in(prepared.split.train, prepared.catalogue)
    labels = label_media(prepared.catalogue, config.encoders, progress) if config.justify.media else None
    return Checkpoint(
        model,
        tokenizer,
        prepared.catalogue,
        config,
        prompts=hashes,
        trained_on=trained_on,
        companions=companions,
        labels=labels,
    )


def companions_in(train: Histories, catalogue: Catalogue) -> Companions:
    """Count what many people had together in the histories that training sees; in an even sample of very many."""
    return count_companions(train.sampled(MOST_SKETCHED).items, len(catalogue), train.report.liked)


def train(
    config: Config | str | Path,
    output: str | Path,
    progress: Progress | None = None,
    *,
    recipe: str | None = None,
    store: NamedStore | None = None,
) -> TrainingResult:
    """Train a model on the tables that a configuration names, and write it as a checkpoint folder.

    `config`: a configuration, or the path of its YAML file. `output`: the folder of the checkpoint; it must not exist, or
    hold an earlier checkpoint, which is replaced. `progress`: called as `progress(what, done, total)`. `recipe`: the name
    of the recipe on the model card, by default the path of the YAML file. `store`: says who was forgotten, by default the
    one of the config.

    A killed or interrupted run leaves its state in `<output>.training`; the same call resumes it to the same result. The
    log and the plot of the losses stay there. Raises ConfigError, DataError or AssetError if something that it needs is
    missing or wrong, CheckpointError if `output` holds other files, RecommenderError if the loss is not finite or somebody
    else trains into `output`.
    """
    if not isinstance(config, Config):
        config, recipe = Config.load(config), recipe or str(config)
    output = Path(output)
    with claimed_run(output):
        return _train(config, output, progress, recipe, store)


@contextmanager
def claimed_run(output: Path) -> Iterator[None]:
    """Hold the output and its work folder; of the processes of one run the first one holds them for all."""
    if not is_main_process():
        yield
        return
    with claimed(output, "training"), locked(work_folder(output), "training"):
        try:
            yield
        except KeyboardInterrupt:
            logger.warning("stopped: %s", progress_of(work_folder(output)))
            raise


def _train(
    config: Config, output: Path, progress: Progress | None, recipe: str | None, store: NamedStore | None
) -> TrainingResult:
    processes = join(config.base.device)
    with processes.one_first():
        _check_parts(config, progress)
        prepared = prepare(config, progress, to_train=True, store=store)
    plan = plan_of(config, len(prepared.split.train))  # before anything that takes long: it may be impossible
    config = _with_shards(config, prepared.histories)
    checkpoint = build(config, prepared, progress)
    work = work_folder(output)
    if config.training.popularity and checkpoint.model.ids.levels == 1:
        _add_popularity(config, prepared, checkpoint, work)
    with processes.one_first():
        data = _training_data(config, prepared, checkpoint, work, progress)
        if listening_stages(config):
            start = config.base.adapter if config.base.adapter and has_listening(config.base.adapter) else None
            heard = prepare_listening(checkpoint, prepared.split.train.items, work, progress, start)
            data = replace(data, conversations=heard)
    trained_shards: tuple[int, ...] = ()
    if config.training.forgetting is None:
        stages = run_stages(checkpoint.model, data, config, work, progress)
    else:
        shard = shard_of_users(config.training.forgetting, prepared.histories)
        sharded = run_in_shards(checkpoint.model, data, config, shard, shards_folder(output), work, progress)
        stages, trained_shards = sharded.stages, sharded.trained
    checkpoint.metrics = {
        "name": output.name,
        "path": output.as_posix(),
        "recipe": recipe or "FILE",
        "stages": [asdict(stage) for stage in stages],
    }
    if plan is not None:
        checkpoint.metrics[PRIVACY] = plan.told()
    elif (promise := promise_of(config.data.interactions)) is not None:
        checkpoint.metrics[PRIVACY] = promise
    elif (times := prepared.split.train.times) is not None:
        checkpoint.metrics[UNTIL] = float(max(last[-1] for last in times if len(last)))
    if (forgetting := config.training.forgetting) is not None:
        users = {"users": len(prepared.histories)}
        checkpoint.metrics[FORGETTING] = {"way": forgetting.way, "shards": forgetting.shards, **users}
    if checkpoint.labels is not None:
        checkpoint.metrics[LABELS] = said_of_labels(checkpoint.labels)
    trained = {"rank", *(stage.stage for stage in config.training.stages)}
    hashes = {name: text for name, text in prompts.template_hashes().items() if name in trained}
    checkpoint.prompts = checkpoint.prompts | hashes
    if processes.main:
        save_pretrained(checkpoint, output)
        clear_state(work)
        (work / READ).unlink(missing_ok=True)
    processes.wait()
    return TrainingResult(output, stages, len(prepared.histories), trained_shards)


def _with_shards(config: Config, histories: Histories) -> Config:
    """Return the config with the moments between shards, which the checkpoint keeps."""
    if config.training.forgetting is None:
        return config
    forgetting = with_moments(config.training.forgetting, histories)
    return config.model_copy(update={"training": config.training.model_copy(update={"forgetting": forgetting})})


def _add_popularity(config: Config, prepared: PreparedData, checkpoint: Checkpoint, work: Path) -> None:
    histories, strength = [items for items in prepared.split.train.items if len(items)], config.training.popularity
    counts = None
    if config.training.privacy is not None:
        counts = private_counts(config, prepared.split.train, len(prepared.catalogue), work)
        histories = [
            np.array([item]) for item in range(len(prepared.catalogue))
        ]  # nobody's: only a direction is measured
    init_popularity_bias(checkpoint.model.eval(), checkpoint.builder, histories, strength, counts)


def _check_parts(config: Config, progress: Progress | None) -> None:
    """Raise RecommenderError if something that training takes from elsewhere is missing: encoding takes minutes."""
    assets.fetch(config.base.llm, progress)
    if config.base.adapter:
        check_adapter(config, config.base.adapter)
    if config.training.teacher is not None:
        teacher_names(config.training.teacher)


def check_long_enough(split: Split) -> None:
    """Raise DataError if there is nothing to train on."""
    if not any(len(items) > 1 for items in split.train.items):
        raise DataError(
            "no user has two interactions left to train on",
            "give longer histories, or set training.keep_test_out: false",
        )


def work_folder(output: Path) -> Path:
    """Return the folder for the state, log and plot of a run."""
    return output.absolute().with_name(f"{output.absolute().name}.training")


def _training_data(
    config: Config, prepared: PreparedData, checkpoint: Checkpoint, work: Path, progress: Progress | None
) -> TrainingData:
    """Return what the stages learn from; only what some stage needs is made."""
    stages, catalogue = config.training.stages, prepared.catalogue
    explanations: list[tuple[str, str]] = []
    if any(stage.stage == "explain" for stage in stages):
        style = replace(Style.of(config.prompt, config.justify), liked=prepared.split.train.report.liked)
        histories, count = prepared.split.train.items, config.justify.examples
        explanations = explain_examples(catalogue, histories, count, config.seed, style, checkpoint.companions)
    query = None
    if any(stage.query_share for stage in stages):
        query = QuerySynthesizer(catalogue, config.prompt.noun).draw
    reads_media = any(stage.stage != "explain" for stage in stages)
    views = encode_views(catalogue, config.encoders, prepared.features, progress) if reads_media else {}
    teacher = soft_targets(config, catalogue, prepared.features, prepared.split, work, progress)
    return TrainingData(checkpoint.builder, prepared.split, explanations, teacher, query, views, prepared.sources)


def teach_writing(
    source: str | Path,
    output: Path,
    count: int | None = None,
    progress: Progress | None = None,
    facts: str | None = None,
    start: str | Path | None = None,
) -> StageResult:
    """Train the stage `explain` of a checkpoint again and write the result to `output`; its ranking stays the same.

    `count`: number of examples, by default as in its config. `facts`: a table that says more of its items, joined by title
    and year, which its config names from then on. `start`: a checkpoint whose writing adapter it begins with, in the place
    of its own. A recipe without such a stage gets one.
    """
    refuse_private(source, "the stage explain")
    with claimed_run(output):
        return _teach_writing(source, output, count, facts, start, progress)


def _teach_writing(
    source: str | Path,
    output: Path,
    count: int | None,
    facts: str | None,
    start: str | Path | None,
    progress: Progress | None,
) -> StageResult:
    checkpoint = from_pretrained(source, progress=progress)
    if start is not None:
        copy_adapter(checkpoint.model, start, writing_only=True)
    if facts is not None:
        checkpoint = _with_facts(checkpoint, facts, progress)
    checkpoint.config = config = _with_writing_stage(checkpoint.config)
    split = split_histories(config, checkpoint.catalogue)
    stages = tuple(stage for stage in config.training.stages if stage.stage == "explain")
    only = config.model_copy(update={"training": config.training.model_copy(update={"stages": stages})})
    if checkpoint.companions is None:
        checkpoint.companions = companions_in(split.train, checkpoint.catalogue)
    style = replace(Style.of(config.prompt, config.justify), liked=checkpoint.companions.liked)
    examples = count or config.justify.examples
    histories, companions = split.train.items, checkpoint.companions
    pairs = explain_examples(checkpoint.catalogue, histories, examples, config.seed, style, companions)
    work = work_folder(output)
    result = run_stages(checkpoint.model, TrainingData(checkpoint.builder, split, pairs), only, work, progress)[0]
    others = [stage for stage in checkpoint.metrics.get("stages", []) if stage["stage"] != "explain"]
    command = f"recommender justifications train CHECKPOINT --examples {examples}"
    command += f" --facts {Path(facts).name}" if facts else ""
    command += f" --start {Path(start).name}" if start else ""
    checkpoint.metrics["stages"] = [*others, asdict(result) | {APART: command}]
    checkpoint.prompts = checkpoint.prompts | {EXPLAIN: prompts.template_hashes()[EXPLAIN]}
    if is_main_process():
        save_pretrained(checkpoint, output)
        clear_state(work)
    return result


def _with_facts(checkpoint: Checkpoint, table: str, progress: Progress | None) -> Checkpoint:
    """Return a checkpoint of the same items, of which a table of facts says more. Raises what joining raises."""
    # its vectors were made without them and stay as they are
    config = checkpoint.config.updated({"data.facts": {"table": table, "encoded": False}}, "--facts")
    return replace(checkpoint, config=config, catalogue=load_catalogue(config, progress))


def _with_writing_stage(config: Config) -> Config:
    """Return a config whose recipe has a stage `explain`."""
    stages = config.training.stages
    if any(stage.stage == "explain" for stage in stages):
        return config
    training = config.training.model_copy(update={"stages": (*stages, StageConfig(stage="explain", epochs=1))})
    return config.model_copy(update={"training": training})


def soft_targets(
    config: Config, catalogue: Catalogue, features: Features, split: Split, work: Path, progress: Progress | None
) -> SoftTargets | None:
    """Fit the teacher on the training histories; its predictions are cached in `work` for a resumed run.

    None without a teacher, or where no stage follows it.
    """
    follows = any(stage.stage == "rank" and stage.teacher for stage in config.training.stages)
    if config.training.teacher is None or not follows:
        return None
    content = ItemContent([catalogue.document(i) for i in range(len(catalogue))], lambda: features)
    data = FitData(split.train.items, len(catalogue), content, config.seed, progress)
    known = Known(split.train.items, split.validation)
    return make_soft_targets(config.training.teacher, data, progress, work / TEACHER, known)


def _everything(histories: Histories) -> Split:
    no_targets = np.full(len(histories), -1, dtype=np.int64)
    return Split(histories, no_targets, no_targets)
