"""Adds item-to-item baselines and fusion weights to a checkpoint, so that an engine can serve the fused ranking."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from recommender.baselines import FitData, ItemContent, make_baseline
from recommender.baselines.fusion.stored import FUSION_FILE
from recommender.baselines.fusion.weights import FittedFusion, fit_fusion
from recommender.baselines.item_tables import check_storable
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, leave_one_out
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.model.checkpoint import resolve, save_copy_with
from recommender.model.manifest import claimed
from recommender.model.trained_on import TRAINED_ON, TrainedOn, digest_of
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.private import refuse_private
from recommender.pipelines.train import load_histories
from recommender.progress import Progress


def fuse_checkpoint(
    source: str,
    baselines: Sequence[str],
    output: Path,
    items: str | None = None,
    progress: Progress | None = None,
    store: NamedStore | None = None,
    gated: bool = False,
) -> FittedFusion:
    """Fit baselines and weights on the checkpoint's training data and write a copy with them to `output`.

    The weights are fitted on each user's validation target; test targets are not used. What the baselines learned, all but
    each user's last item, is added to what the copy says it was trained on. `store`: says who was forgotten. `gated`: the
    weights depend on the history.

    Raises DataError for a baseline that cannot be saved in a checkpoint and for a checkpoint that was trained on the
    validation targets; CheckpointError.
    """
    check_storable(baselines)
    refuse_private(source, "fused baselines")
    with claimed(output, "fuse"):
        return _fuse(source, baselines, output, items, progress, store, gated)


def _fuse(
    source: str,
    baselines: Sequence[str],
    output: Path,
    items: str | None,
    progress: Progress | None,
    store: NamedStore | None,
    gated: bool,
) -> FittedFusion:
    model = Recommender.from_pretrained(source, items, progress)
    config, catalogue = model.config, model.catalogue
    if not config.training.keep_test_out:
        raise DataError(
            f"{source}: was trained on each user's last items, so no weights can be fitted on them",
            "train with training.keep_test_out: true",
        )
    histories = load_histories(config, catalogue, store)
    check_same_interactions(source, config.data.interactions, histories, catalogue)
    split = leave_one_out(histories, validate_on=config.training.validate_on)
    known, unlearned = split.history_for("test"), split.validation >= 0
    content = ItemContent(
        [catalogue.document(i) for i in range(len(catalogue))], lambda: model.model.features.without("collaborative")
    )
    score = partial(model.score, candidates=range(len(catalogue)))
    data = FitData(known, len(catalogue), content, config.seed, progress)
    makers = {name: partial(make_baseline, name) for name in baselines}
    fused = fit_fusion(source, score, makers, data, progress, gated=gated, unlearned=unlearned)
    files = {FUSION_FILE: fused.stored().save}
    trained = TrainedOn.load(resolve(source))
    if trained is not None:  # of an older checkpoint nobody knows what it learned before
        files[TRAINED_ON] = TrainedOn.of(histories, known, catalogue, trained.earlier).save
    counts = {"interactions": sum(map(len, known)), "users": len(known)}
    save_copy_with(source, output, files, {"fused_with": {"baselines": [*baselines], **counts}})
    return fused


def check_same_interactions(source: str | Path, table: str, histories: Histories, catalogue: Catalogue) -> None:
    """Raise DataError if the table is not what the checkpoint was trained on: the targets could be among what it learned."""
    trained = TrainedOn.load(resolve(source))
    if trained is not None and trained.digest != digest_of(histories, catalogue):
        raise DataError(
            f"{table}: holds other interactions than those that {source} was trained on",
            "restore the table, or train on it as it is now: recommender train",
        )
