"""Parquet shards of whole histories, a row a user, and `datasets.IterableDataset` of such rows -> memory-mapped histories.

What is read is kept in the cache, as 4 bytes an interaction, and read again only if the shards or the catalogue change.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender import assets
from recommender.config import ColumnsConfig
from recommender.data.catalogue import Catalogue
from recommender.data.ids import canonical_id, id_or_none
from recommender.data.mapped_histories import FACTS, ITEMS, NAME_STARTS, NAMES, STARTS
from recommender.errors import DataError, shown
from recommender.files import is_folder, locked, replacing_folder

#: rows that are read at once
ROWS = 16_384
_VERSION = 1


def holds_histories(source: Any, columns: ColumnsConfig) -> bool:
    """Return whether a source is a parquet file or folder whose item column has lists, or an iterable data set of rows."""
    if type(source).__name__ == "IterableDataset":
        return True
    if not isinstance(source, str | Path) or assets.is_embedded(str(source)):
        return False
    first = next(iter(_files(Path(source))), None)
    try:
        schema = pq.read_schema(first) if first is not None else pa.schema([])
    except (OSError, pa.ArrowException):
        return False
    return columns.item_id in schema.names and _is_list(schema.field(columns.item_id).type)


def read_shards(source: Any, catalogue: Catalogue, columns: ColumnsConfig) -> Path:
    """Return the folder of the histories of a source, for `MappedHistories.open`; written now unless it is in the cache.

    Raises DataError naming the file, the user and the item that is not in the catalogue; for a user without an id, and for
    shards without any history.
    """
    root = assets.cache_dir() / "histories"
    if not isinstance(source, str | Path):
        return _by_content(_write(root / f"rows-{os.getpid()}-{id(source)}", _rows(source, columns), catalogue))
    folder = root / _key(assets.identity(str(source)), catalogue, columns)
    with locked(folder, "reading histories", wait=True):
        if not (folder / FACTS).is_file():
            _write(folder, _shards(Path(source), columns), catalogue)
    return folder


def _by_content(written: Path) -> Path:
    """Move a folder to a name that follows from what it holds, so that the same rows are kept once."""
    folder = written.with_name(json.loads((written / FACTS).read_text(encoding="utf-8"))["digest"][:32])
    if folder.exists():
        shutil.rmtree(written)
    else:
        os.replace(written, folder)
    return folder


def _key(identity: Any, catalogue: Catalogue, columns: ColumnsConfig) -> str:
    told = [_VERSION, identity, columns.user_id, columns.item_id, catalogue.item_ids]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _files(path: Path) -> list[Path]:
    if is_folder(path):
        return sorted(path.rglob("*.parquet"))
    return [path] if path.suffix == ".parquet" and path.is_file() else []


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _shards(path: Path, columns: ColumnsConfig) -> Iterator[tuple[str, pa.Array, pa.Array]]:
    """Yield where they stand, the users and their lists of items, block by block."""
    for file in _files(path):
        try:
            parquet = pq.ParquetFile(file)
            missing = [name for name in (columns.user_id, columns.item_id) if name not in parquet.schema_arrow.names]
            if missing:
                raise DataError(f"{file}: has no column {missing[0]!r}", "every shard needs the same columns")
            for batch in parquet.iter_batches(ROWS, columns=[columns.user_id, columns.item_id]):
                yield str(file), batch.column(0), batch.column(1)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: not a readable parquet file ({' '.join(str(error).split())[:200]})") from None


def _rows(source: Iterable[dict[str, Any]], columns: ColumnsConfig) -> Iterator[tuple[str, pa.Array, pa.Array]]:
    users: list[Any] = []
    lists: list[Any] = []
    for row in source:
        if columns.user_id not in row or columns.item_id not in row:
            raise DataError(f"IterableDataset: a row has no {columns.user_id!r} and {columns.item_id!r}", "name them")
        users.append(row[columns.user_id])
        lists.append(row[columns.item_id])
        if len(users) == ROWS:
            yield "IterableDataset", pa.array(users), pa.array(lists)
            users, lists = [], []
    if users:
        yield "IterableDataset", pa.array(users), pa.array(lists)


def _write(folder: Path, blocks: Iterable[tuple[str, pa.Array, pa.Array]], catalogue: Catalogue) -> Path:
    """Write histories as they come; users without items are left out. Returns the folder."""
    digest, users, interactions, named = hashlib.sha256(), 0, 0, 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder) as new:
        files = {name: (new / name).open("wb") for name in (ITEMS, STARTS, NAMES, NAME_STARTS)}
        try:
            for name in (STARTS, NAME_STARTS):
                files[name].write(np.zeros(1, "<i8").tobytes())
            for place, ids, lists in blocks:
                lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
                items = _indices(place, ids, lists, lengths, catalogue)
                names = [_user(place, value).encode() for value, n in zip(ids.to_pylist(), lengths, strict=True) if n]
                ends = np.cumsum(lengths[lengths > 0])
                name_ends = np.cumsum([len(name) for name in names], dtype=np.int64)
                content = {ITEMS: items.astype("<i4").tobytes(), STARTS: (ends + interactions).astype("<i8").tobytes()}
                content |= {NAMES: b"".join(names), NAME_STARTS: (name_ends + named).astype("<i8").tobytes()}
                for name, raw in content.items():
                    files[name].write(raw)
                    digest.update(raw)
                users, interactions = users + len(names), interactions + int(lengths.sum())
                named += sum(map(len, names))
        finally:
            for file in files.values():
                file.close()
        if not users:
            raise DataError("the histories are empty: no row has an item", "give each user a list of item ids")
        facts = {"digest": digest.hexdigest(), "users": users, "interactions": interactions}
        (new / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return folder


def _indices(place: str, users: pa.Array, lists: pa.Array, lengths: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    """Return the catalogue index of each item of a block. Raises DataError naming the first that is not in it."""
    values = lists.flatten()
    if not (
        pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_integer(values.type)
    ):
        raise DataError(f"{place}: the lists hold {values.type}", "item ids are text or whole numbers")
    encoded = values.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)
    found = np.array([*(_index(value, catalogue) for value in distinct), -1], np.int64)[codes]
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        position = int(unknown[0])
        user = users[int(np.searchsorted(np.cumsum(lengths), position, side="right"))].as_py()
        raise DataError(
            f"{place}: user {shown(user)} has the item {shown(values[position].as_py())}, which the items table lacks",
            "leave it out of the lists, or add it to the items",
        )
    return found


def _index(value: Any, catalogue: Catalogue) -> int:
    name = id_or_none(value)
    return catalogue.index(name) if name is not None and name in catalogue else -1


def _user(place: str, value: Any) -> str:
    try:
        return canonical_id(value)
    except DataError as error:
        raise DataError(f"{place}: user: {error.message}", error.hint) from None
