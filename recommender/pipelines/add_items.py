"""Adds items to a checkpoint in its place: its table with them, their codes and rows, and the way back.

Nothing is trained: see `recommender.pipelines.extend`. The new table is a file of its own, which the new version of the
checkpoint names; the table before stays as it is. So a process that is killed leaves the old version, or the new one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender import assets
from recommender.adapters.shipped import check_own
from recommender.baselines.fusion.stored import FUSION_FILE, StoredFusion
from recommender.config import Config, DataConfig
from recommender.data.catalogue import Catalogue
from recommender.data.histories import leave_one_out
from recommender.data.item_rows import Item
from recommender.errors import DataError
from recommender.files import is_folder, replacing
from recommender.model.checkpoint import CONFIG, Checkpoint, resolve, save_pretrained
from recommender.model.manifest import claimed
from recommender.pipelines.extend import load_extended
from recommender.pipelines.extend_listening import tuned_file
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.recounting import recounted
from recommender.pipelines.train import load_histories
from recommender.pipelines.versions import keep_version, kept_versions, versions_folder
from recommender.progress import Progress

_NUMBERED = re.compile(r"(.+)\.with-(\d+)")


@dataclass(frozen=True)
class AddedItems:
    """What was added. `table`: the items table of the new version; `share`: of the lists in which a new item stands, None
    where items share codes."""

    ids: tuple[str, ...]
    items: int
    table: str
    share: float | None


def add_items(
    source: str | Path,
    new: Sequence[Item],
    progress: Progress | None = None,
    times: float = 2.0,
    store: NamedStore | None = None,
) -> AddedItems:
    """Put a version of a checkpoint that knows the `new` items, too, in the place of the checkpoint.

    The version before is kept for a rollback. `times`: how often a new item is listed, relative to a known one. `store`:
    says whom fused baselines must not count.

    Raises DataError for known ids, for none, and for a table that cannot be written anew; CheckpointError for a checkpoint
    that came with the package; what encoding raises. Then the checkpoint is as it was.
    """
    folder = resolve(source)
    check_own(folder)
    with claimed(folder, "adding items"):
        config = Config.load(folder / CONFIG)
        known = _own_rows(config.data)
        _check_new(known, new)
        table = _next_table(folder, config.data.items)
        try:
            _write_table(table, [*known, *new], config.data)
            extended = load_extended(folder, str(table), progress, times=times)
            files = _recounted(folder, extended, store) | tuned_file(folder, extended)
            keep_version(folder, config.update.keep)
            save_pretrained(extended, folder, files)
        except BaseException:
            table.unlink(missing_ok=True)
            raise
        _tidy(folder, table)
    ids = tuple(item.item_id for item in Catalogue(new))
    return AddedItems(ids, len(extended.catalogue), str(table), extended.metrics.get("new_items_share"))


def media_folder(source: str | Path) -> Path:
    """Return where media of new items are to lie: below the folder of the table that will name them."""
    folder = resolve(source)
    check_own(folder)
    return _table_folder(folder, Config.load(folder / CONFIG).data.items) / "added-media"


def _own_rows(data: DataConfig) -> Catalogue:
    """Return the items as their own table has them, without what another one says of them."""
    if is_folder(Path(data.items)):
        raise DataError(f"{data.items}: is a folder, and items are added to a table", "name a file in data.items")
    layout = data.items_table
    if layout.header or layout.separator or layout.encoding:
        hint = "write it as JSON lines, or use: recommender extend"
        raise DataError(f"{data.items}: is a text file whose form data.items_table tells", hint)
    return Catalogue.load(data.items, data.model_copy(update={"facts": None}), media=False)


def _check_new(known: Catalogue, new: Sequence[Item]) -> None:
    if not new:
        raise DataError("there is no item to add", "give one, with item_id and title")
    for item in Catalogue(new):  # which says which id stands twice
        if item.item_id in known:
            raise DataError(f"item {item.item_id!r} is known already", "give new items only; nothing was added")
    for item in new:
        if not item.title.strip():
            raise DataError(f"item {item.item_id!r} has no title", "give each item one; nothing was added")


def _table_folder(folder: Path, items: str) -> Path:
    return versions_folder(folder) if assets.is_embedded(items) else Path(items).absolute().parent


def _next_table(folder: Path, items: str) -> Path:
    """Return a name that no table has: NAME.with-2.jsonl beside NAME, or beside the kept versions of the checkpoint."""
    stem = Path(items).name.partition(".")[0]
    place = _table_folder(folder, items)
    taken = [int(found[2]) for path in place.glob(f"{stem}.with-*.jsonl") if (found := _NUMBERED.fullmatch(path.stem))]
    return place / f"{stem}.with-{max(taken, default=0) + 1}.jsonl"


def _write_table(path: Path, items: Sequence[Item], data: DataConfig) -> None:
    columns = data.columns_of("items")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for item in items:
            row: dict[str, Any] = {columns.item_id: item.item_id, columns.title: item.title}
            row |= {columns.description: item.text} if item.text else {}
            row |= {columns.image: str(item.image)} if item.image else {}
            row |= {columns.audio: str(item.audio)} if item.audio else {}
            row |= {columns.video: str(item.video)} if item.video else {}
            row |= {name: list(values) for name, values in item.attributes.items()}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _recounted(folder: Path, extended: Checkpoint, store: NamedStore | None) -> dict[str, Callable[[Path], None]]:
    """Return what writes the checkpoint's fused baselines, counted again for all items, of what they were counted of before.

    Raises DataError without its interactions.
    """
    fused = folder / FUSION_FILE
    if not fused.is_file():
        return {}
    histories = load_histories(extended.config, extended.catalogue, store)
    keeps_out = extended.config.training.keep_test_out
    known = leave_one_out(histories).history_for("test") if keeps_out else histories.items
    features, seed = extended.model.features, extended.config.seed
    return {FUSION_FILE: recounted(StoredFusion.load(fused), extended.catalogue, features, known, seed).save}


def _tidy(folder: Path, table: Path) -> None:
    """Remove tables that were written by this module and that no version names any more."""
    named = {Config.load(version / CONFIG).data.items for version in (folder, *kept_versions(folder))}
    stem = table.name.partition(".with-")[0]
    for other in table.parent.glob(f"{stem}.with-*.jsonl"):
        if str(other) not in named:
            other.unlink()
