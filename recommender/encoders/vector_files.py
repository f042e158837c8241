"""Files of vectors that were made elsewhere: .npy, .npz, .safetensors (memory-mapped) and parquet, with an id a row."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import VectorsConfig
from recommender.data.ids import canonical_id
from recommender.errors import DataError, shown
from recommender.files import is_folder, status
from recommender.strict.tensor_files import map_tensors

SUFFIXES = (".npy", ".npz", ".parquet", ".safetensors")
_VECTORS = ("vectors", "embeddings", "vector", "embedding")
_IDS = ("item_id", "item_ids", "ids", "id")
_BESIDE = (".ids.txt", ".ids.npy", ".ids.json", "_ids.txt", "_ids.npy", "_ids.json")
#: rows of a parquet file that are read at once
_ROWS = 8192

Take = Callable[[np.ndarray], np.ndarray]
"""Numbers of rows [n] -> their vectors [n, width] float32."""


@dataclass(frozen=True)
class VectorFile:
    """An open file. `ids`: the item of each row. `prepare`: readies these rows, by their numbers, and returns what gives
    the vectors of any of them by their place among those; what is memory-mapped is read only then."""

    path: Path
    ids: list[str]
    width: int
    prepare: Callable[[np.ndarray], Take]


def open_vectors(config: VectorsConfig) -> VectorFile:
    """Open a file of vectors. Raises DataError in one line for what is missing, of another form, or has an id twice."""
    path = Path(config.vectors).expanduser()
    check_there(config)
    kind = ".parquet" if is_folder(path) else path.suffix.lower()
    openers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}
    if kind not in openers:
        raise DataError(f"{path}: no file of vectors that is known here", f"give one of {', '.join(SUFFIXES)}")
    try:
        raw_ids, width, prepare = openers[kind](path, config)
    except (OSError, ValueError, KeyError, TypeError, struct.error, zipfile.BadZipFile) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(f"{path}: cannot be read as vectors ({reason[:200]})", "write the file again") from None
    return VectorFile(path, _checked_ids(path, raw_ids), width, prepare)


def check_there(config: VectorsConfig) -> None:
    """Raise DataError unless the files that a config names are there."""
    for name in filter(None, (config.vectors, config.ids)):
        if status(Path(name).expanduser(), DataError) is None:
            raise DataError(f"{name}: there is no such file of vectors", "name a file, or null for no vectors")


def _npy(path: Path, config: VectorsConfig) -> tuple[Sequence[Any], int, Callable[[np.ndarray], Take]]:
    return _mapped(path, np.load(path, mmap_mode="r"), _ids_beside(path, config))


def _npz(path: Path, config: VectorsConfig) -> tuple[Sequence[Any], int, Callable[[np.ndarray], Take]]:
    with np.load(path) as arrays:
        names = list(arrays.files)
        name = _named(path, config.column, _VECTORS, names, "vectors")
        ids = _ids_beside(path, config) if config.ids else arrays[_named(path, config.item_id, _IDS, names, "ids")]
        found = _map_stored(path, f"{name}.npy")
        return _mapped(path, arrays[name] if found is None else found, ids)


def _map_stored(path: Path, member: str) -> np.ndarray | None:
    """Return an array of an archive memory-mapped, None if it is compressed."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name_size, extra_size = struct.unpack("<26xHH", file.read(30))
        file.seek(name_size + extra_size, 1)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("Python objects in the place of numbers")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def _safetensors(path: Path, config: VectorsConfig) -> tuple[Sequence[Any], int, Callable[[np.ndarray], Take]]:
    maps, facts, metadata = map_tensors(path)
    matrices = [name for name, one in maps.items() if one.ndim == 2]
    name = _named(path, config.column, _VECTORS, matrices, "vectors")
    ids: Sequence[Any]
    if config.ids is None and (said := next((metadata[key] for key in _IDS if key in metadata), None)):
        ids = json.loads(said)
    elif config.ids is None and (key := next((key for key in (config.item_id, *_IDS) if key in maps), None)):
        ids = maps[key].tolist()
    else:
        ids = _ids_beside(path, config)
    return _mapped(path, maps[name], ids, short=facts[name].dtype == "BF16")


def _mapped(
    path: Path, vectors: np.ndarray, ids: Sequence[Any], short: bool = False
) -> tuple[Sequence[Any], int, Callable[[np.ndarray], Take]]:
    """`short`: the numbers are the bits of bfloat16."""
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not vectors.shape[1]:
        shape = " x ".join(map(str, vectors.shape))
        raise ValueError(f"an array of {vectors.dtype}, {shape or 'one number'}; expected numbers, items x width")
    if len(ids) != len(vectors):
        raise ValueError(f"{len(vectors)} rows and {len(ids)} ids")

    def prepare(rows: np.ndarray) -> Take:
        def take(places: np.ndarray) -> np.ndarray:
            found = np.asarray(vectors[rows[places]])
            return (found.astype(np.uint32) << 16).view(np.float32) if short else found.astype(np.float32)

        return take

    return ids, vectors.shape[1], prepare


def _parquet(path: Path, config: VectorsConfig) -> tuple[Sequence[Any], int, Callable[[np.ndarray], Take]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(path.rglob("*.parquet")) if is_folder(path) else [path]
    if not files:
        raise ValueError("the folder holds no .parquet file")
    schema = pq.read_schema(files[0])
    lists = [field.name for field in schema if pa.types.is_nested(field.type) and hasattr(field.type, "value_type")]
    key = _named(path, config.item_id, _IDS, [name for name in schema.names if name not in lists], "ids")
    column = _named(path, config.column, _VECTORS, lists, "vectors")
    ids = [value for file in files for value in pq.read_table(file, columns=[key])[key].to_pylist()]
    width, has = _measured(files, column, ids)

    def prepare(rows: np.ndarray) -> Take:
        """Read the wanted rows into one table, part by part."""
        wanted = np.full(len(ids), -1, np.int64)
        wanted[np.flatnonzero(has)[rows]] = np.arange(len(rows))
        table, start = np.empty((len(rows), width), np.float32), 0
        for part in _parts(files, column):
            places = wanted[start : start + len(part)]
            valid = np.asarray(part.is_valid())
            numbers = part.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
            chosen = places[valid] >= 0
            table[places[valid][chosen]] = numbers[chosen]
            start += len(part)
        return lambda places: table[places]

    return [value for value, there in zip(ids, has, strict=True) if there], width, prepare


def _parts(files: Sequence[Path], column: str) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(_ROWS, columns=[column]):
            yield batch.column(0)


def _measured(files: Sequence[Path], column: str, ids: Sequence[Any]) -> tuple[int, np.ndarray]:
    """Return the width of a column of lists, and which rows have one [rows]. Raises ValueError naming one that differs."""
    import pyarrow.compute as pc

    lengths = np.concatenate(
        [pc.fill_null(pc.list_value_length(part), -1).to_numpy() for part in _parts(files, column)]
    )
    has = lengths > 0
    if not has.any():
        raise ValueError(f"no row of the column {column!r} has a vector")
    width = int(lengths[has][0])
    if (lengths[has] != width).any():
        row = int(np.flatnonzero(has & (lengths != width))[0])
        raise ValueError(f"the vector of {shown(ids[row])} has {lengths[row]} numbers, the first one {width}")
    return width, has


def _named(path: Path, told: str | None, usual: Sequence[str], there: Sequence[str], what: str) -> str:
    """Return the name of the ids or the vectors: as told, a usual one, or the only one. Raises ValueError."""
    found = told if told in there else None if told else next((name for name in usual if name in there), None)
    if found is None and told is None and len(there) == 1:
        found = there[0]
    if found is None:
        key = "column" if what == "vectors" else "item_id"
        has = ", ".join(map(repr, there)) or "nothing of that form"
        raise ValueError(f"no {what} named {told or ' or '.join(usual)}; it has {has}; set {key}")
    return found


def _ids_beside(path: Path, config: VectorsConfig) -> Sequence[Any]:
    """Return the ids of a file that has none in itself. Raises ValueError."""
    names = [path.with_name(path.stem + end) for end in _BESIDE]
    found = Path(config.ids).expanduser() if config.ids else next((name for name in names if name.is_file()), None)
    if found is None:
        raise ValueError(f"no ids beside it: write an id a line into {names[0].name}, or set ids")
    if found.suffix == ".npy":
        return list(np.load(found).tolist())
    text = found.read_text(encoding="utf-8")
    return list(json.loads(text)) if found.suffix == ".json" else text.splitlines()


def _checked_ids(path: Path, raw: Sequence[Any]) -> list[str]:
    """Return ids in their one form. Raises DataError for what is no id, and for an id twice."""
    ids: dict[str, int] = {}
    for row, value in enumerate(raw, start=1):
        try:
            name = canonical_id(value)
        except DataError as error:
            raise DataError(f"{path}: row {row}: {error.message}", error.hint) from None
        if name in ids:
            raise DataError(f"{path}: item {shown(name)} has two vectors, in rows {ids[name]} and {row}", "keep one")
        ids[name] = row
    if not ids:
        raise DataError(f"{path}: holds no vector", "write the file again")
    return list(ids)
