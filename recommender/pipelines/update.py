"""Updates: a checkpoint learns what came since it was trained, and goes live only if it is not worse for it.

From the live version, on the new interactions with some from before, close to its own former softmax; new items get rows of
their content first. Fused baselines are counted anew, with the weights that they have. The latest new interactions are held
back: if NDCG@10 on them is lower than that of the live version, that one stays, and the log says why.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recommender.adapters.shipped import check_own
from recommender.baselines.fusion.stored import FUSION_FILE, StoredFusion
from recommender.config import Config, StageConfig, UpdateConfig
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, Split
from recommender.errors import ConfigError
from recommender.model.card import UNTIL
from recommender.model.checkpoint import (
    CONFIG,
    Checkpoint,
    from_pretrained,
    item_ids_of,
    resolve,
    save_pretrained,
)
from recommender.model.manifest import claimed
from recommender.model.trained_on import TrainedOn
from recommender.numerics.gains import single_target_ndcg
from recommender.pipelines.continued import digest_of_weights
from recommender.pipelines.corrections import correct_writing, marked_anywhere
from recommender.pipelines.extend import load_extended
from recommender.pipelines.extend_listening import tuned_file
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.private import refuse_private
from recommender.pipelines.recounting import recounted
from recommender.pipelines.refusals import refusals_in
from recommender.pipelines.train import companions_in, load_histories
from recommender.pipelines.update_block import Refusal, Target, UpdateBlock, make_block
from recommender.pipelines.versions import add_to_log, keep_version, read_log, versions_folder
from recommender.progress import Progress
from recommender.store.opinions import KeepsFeedback
from recommender.training import TrainingData, run_stages
from recommender.training.own_softmax import own_softmax
from recommender.training.validation import target_ranks

logger = logging.getLogger(__name__)
K = 10


@dataclass(frozen=True)
class UpdateResult:
    """What an update did. `live`: whether the new version took the place of the old one; `why` says it in words.

    `before`, `after`: NDCG@10 of both versions on the `judged` latest interactions. `counts`: what was learned.
    """

    live: bool
    why: str
    before: float
    after: float
    judged: int
    since: float
    until: float
    new_items: int
    counts: dict[str, int]
    seconds: float

    def told(self) -> dict[str, Any]:
        """Return it for the log."""
        when = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
        return {"time": when, **asdict(self)}


def update_checkpoint(
    source: str | Path,
    since: float | None = None,
    refusals: Sequence[Refusal] = (),
    progress: Progress | None = None,
    store: NamedStore | None = None,
    settings: UpdateConfig | None = None,
    feedback: KeepsFeedback | None = None,
) -> UpdateResult:
    """Let a checkpoint learn what came since, from the tables that its config names as they are now.

    `since`: a time as the table has them; default: where its training or its last update ended. `refusals`: what people did
    not want. `settings`: in the place of the section `update` of its config. `feedback`: says which justifications were
    called wrong, beside that of the store. The old version stays until the new one is
    whole, and is kept for a rollback. A killed update goes on when it is started again with the same interactions. Raises
    DataError for too few new interactions, ConfigError if it is not known since when, and what training raises.
    """
    folder = resolve(source)
    check_own(folder)
    refuse_private(folder, "an update")
    config = Config.load(folder / CONFIG)
    settings = settings or config.update
    with claimed(folder, "updating"):
        started = time.monotonic()
        known = set(item_ids_of(folder) or ())
        catalogue = Catalogue.load(config.data.items, config.data, media=False)
        new_items = sum(item_id not in known for item_id in catalogue.item_ids) if known else 0
        begin = _begun(folder, config, catalogue, new_items > 0, progress)
        histories = load_histories(config, begin.catalogue, store)
        if store is not None:
            refusals = [*refusals, *refusals_in(store, config, histories, begin.catalogue)]
        since = _since(folder, begin, since)
        size = begin.config.prompt.history + 1
        block = make_block(histories, since, settings, size, config.seed, refusals if settings.dislikes else ())
        before = judge(begin, block.targets, progress)
        learn(begin, block, settings, _work_folder(folder, block), digest_of_weights(folder), progress)
        after = judge(begin, block.targets, progress)
        went_live, why = _verdict(before, after, settings)
        corrected: dict[str, int] = {}
        if went_live:
            if settings.wrong:
                marked = marked_anywhere(store, feedback, config, begin.catalogue)
                corrected = correct_writing(begin, marked, _known_until(histories, block.until), settings, progress)
            keep_version(folder, settings.keep)
            _write(begin, folder, histories, block)
        shutil.rmtree(_work_folder(folder, block), ignore_errors=True)
        result = UpdateResult(
            went_live,
            why,
            round(float(before.mean()), 5),
            round(float(after.mean()), 5),
            len(block.targets),
            since,
            block.until,
            new_items,
            block.counts | corrected,
            round(time.monotonic() - started, 1),
        )
        add_to_log(folder, result.told())
    return result


def _begun(folder: Path, config: Config, catalogue: Catalogue, extend: bool, progress: Progress | None) -> Checkpoint:
    """Return the live version, with rows of their content for items that its table has got since."""
    if not extend:
        return from_pretrained(folder, catalogue, progress)
    return load_extended(folder, config.data.items, progress, interactions=config.data.interactions)


def learn(
    checkpoint: Checkpoint,
    block: UpdateBlock,
    settings: UpdateConfig,
    work: Path,
    start: str,
    progress: Progress | None = None,
) -> None:
    """Train a checkpoint on a block, in place. `work`: the folder of the state; `start`: a digest of what it begins with."""
    model = checkpoint.model
    teacher = None
    if model.ids.levels == 1 and (settings.proximal or block.refused):
        weight = settings.proximal / (1 + settings.proximal)
        teacher = own_softmax(
            model, checkpoint.builder, block.histories, block.learned, weight, block.refused, progress
        )
    elif block.refused:
        block = _without_refused(block)
    nobody = np.full(len(block.histories), -1, np.int64)
    split = Split(Histories(tuple(map(str, range(len(block.histories)))), block.histories), nobody, nobody)
    config = checkpoint.config.model_copy(
        update={
            "training": checkpoint.config.training.model_copy(
                update={"stages": (_stage(settings, checkpoint.config),), "teacher": None, "forgetting": None}
            )
        }
    )
    data = TrainingData(checkpoint.builder, split, teacher=teacher, start=start, learned=block.learned)
    run_stages(model, data, config, work, progress)
    model.eval()


def judge(checkpoint: Checkpoint, targets: Sequence[Target], progress: Progress | None = None) -> np.ndarray:
    """Return NDCG@10 of each target, float64 [targets]; what its user had before is not listed."""
    beam = checkpoint.config.decoding.beam
    found: list[int] = []
    for start in range(0, len(targets), 100):
        part = targets[start : start + 100]
        histories, items = [one.history for one in part], [one.item for one in part]
        found += target_ranks(checkpoint.model, checkpoint.builder, histories, items, K, beam)
        if progress:
            progress("judging", start + len(part), len(targets))
    return single_target_ndcg(np.array(found, np.int64), K) if found else np.zeros(0)


def _stage(settings: UpdateConfig, config: Config) -> StageConfig:
    former = next((stage for stage in config.training.stages if stage.stage == "rank"), StageConfig(stage="rank"))
    return StageConfig(
        stage="rank",
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        rows_learning_rate=settings.rows_learning_rate,
        projector_learning_rate=settings.projector_learning_rate,
        batch_tokens=settings.batch_tokens,
        row_tokens=min(former.row_tokens, settings.batch_tokens),
        modality_dropout=former.modality_dropout,
        row_dropout=former.row_dropout,
        cold_item_dropout=former.cold_item_dropout,
        neighbour_mix=former.neighbour_mix,  # not dropout_by_activity: an update does not see what was learned before
        titled_share=0.0,
    )


def _without_refused(block: UpdateBlock) -> UpdateBlock:
    learned = block.learned.copy()
    learned[list(block.refused)] = False
    return replace(block, learned=learned, refused={})


def _since(folder: Path, checkpoint: Checkpoint, given: float | None) -> float:
    if given is not None:
        return given
    ended = [row["until"] for row in read_log(folder) if row["live"]]
    known = checkpoint.metrics.get(UNTIL)
    if ended or known is not None:
        return float(max([*ended, *([] if known is None else [known])]))
    raise ConfigError(
        f"{folder}: does not say up to when it learned", "say since when: --since 2026-11-01, or seconds since 1970"
    )


def _verdict(before: np.ndarray, after: np.ndarray, settings: UpdateConfig) -> tuple[bool, str]:
    if not len(before):
        return False, "nothing to judge it by: nobody who is known did anything in the window"
    old, new = float(before.mean()), float(after.mean())
    compared = f"NDCG@10 {new:.4f} after, {old:.4f} before, on the {len(before)} latest interactions"
    if new >= old - settings.margin:
        return True, compared
    return False, f"worse: {compared}"


def _work_folder(folder: Path, block: UpdateBlock) -> Path:
    """Return the folder of an update's state: of these interactions only, so that others begin anew."""
    digest = hashlib.sha256(block.learned.tobytes())
    for history in block.histories:
        digest.update(np.ascontiguousarray(history, np.int64).tobytes())
    parent = versions_folder(folder)
    for other in parent.glob("updating-*"):
        if other.name != f"updating-{digest.hexdigest()[:12]}":
            shutil.rmtree(other)
    return parent / f"updating-{digest.hexdigest()[:12]}"


def _known_until(histories: Histories, until: float) -> list[np.ndarray]:
    """Return the items of each history up to a time."""
    assert histories.times is not None
    return [
        items[: int(np.searchsorted(times, until, side="right"))]
        for items, times in zip(histories.items, histories.times, strict=True)
    ]


def _write(checkpoint: Checkpoint, folder: Path, histories: Histories, block: UpdateBlock) -> None:
    """Put the new version in the place of the old one, with counts of all that it learned from."""
    known = _known_until(histories, block.until)
    earlier = checkpoint.trained_on
    checkpoint.trained_on = TrainedOn.of(
        histories, known, checkpoint.catalogue, None if earlier is None else earlier.earlier
    )
    learned = Histories(histories.user_ids, tuple(known), None, histories.report)
    checkpoint.companions = companions_in(learned, checkpoint.catalogue)
    checkpoint.metrics = {name: value for name, value in checkpoint.metrics.items() if name != "ranking"}
    checkpoint.metrics[UNTIL] = block.until
    files = tuned_file(folder, checkpoint)
    fused = folder / FUSION_FILE
    if fused.is_file():
        features, seed = checkpoint.model.features, checkpoint.config.seed
        stored = recounted(StoredFusion.load(fused), checkpoint.catalogue, features, known, seed)
        files |= {FUSION_FILE: stored.save}
    save_pretrained(checkpoint, folder, files)
