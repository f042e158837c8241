"""Reads checkpoints of TensorFlow (`.index` and `.data-00000-of-00001`) without TensorFlow.

The index is a table of LevelDB: blocks of sorted keys, each of which states how many of its bytes it shares with the one
before it, and a footer that says where the block of blocks lies. A value is a message of protocol buffers, BundleEntryProto:
the type and the shape of a tensor, and where its bytes lie in the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER, _TRAILER, _WORD = 48, 5, 4
_FLOAT = 1
#: numbers of fields in BundleEntryProto, and of a dimension and its size in its shape
_DTYPE, _SHAPE, _OFFSET, _SIZE, _DIMENSION = 1, 2, 4, 5, 2
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}


def read_tensors(prefix: str) -> dict[str, np.ndarray]:
    """Return the float32 tensors of a checkpoint of one shard by name; others, as counters of steps, are left out.

    `prefix`: the path without `.index`; a folder's with "/" behind it has files whose names begin with a dot.
    Raises ValueError for a file that is no table, is compressed or ends too early.
    """
    index = Path(f"{prefix}.index").read_bytes()
    data = Path(f"{prefix}.data-00000-of-00001").read_bytes()
    if len(index) < _FOOTER or index[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("the index is no table of tensors")
    footer = index[-_FOOTER:]
    _, _, at = _handle(footer, 0)
    start, size, _ = _handle(footer, at)
    found = {}
    for _, place in _entries(_block(index, start, size)):
        block_start, block_size, _ = _handle(place, 0)
        for name, value in _entries(_block(index, block_start, block_size)):
            fields = dict(_fields(value))
            if name and fields.get(_DTYPE) == _FLOAT:
                found[name.decode()] = _tensor(fields, data)
    return found


def _tensor(fields: dict[int, int | bytes], data: bytes) -> np.ndarray:
    offset, size = int(fields.get(_OFFSET, 0)), int(fields.get(_SIZE, 0))
    if offset + size > len(data):
        raise ValueError("the data end before their last tensor")
    shape = fields.get(_SHAPE, b"")
    assert isinstance(shape, bytes)
    dimensions = [part for number, part in _fields(shape) if number == _DIMENSION and isinstance(part, bytes)]
    sizes = [int(dict(_fields(dimension)).get(1, 0)) for dimension in dimensions]
    return np.frombuffer(data, "<f4", size // 4, offset).reshape(sizes)


def _block(table: bytes, start: int, size: int) -> bytes:
    """Return a block without its trailer, which says how it is compressed. Raises ValueError if it is."""
    if start + size + _TRAILER > len(table) or table[start + size]:
        raise ValueError("the index is cut off or compressed")
    return table[start : start + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block; at its end stand where keys are whole, and how many such places there are."""
    restarts = int.from_bytes(block[-_WORD:], "little")
    end, at, key = len(block) - _WORD * (restarts + 1), 0, b""
    while at < end:
        shared, at = _number(block, at)
        own, at = _number(block, at)
        length, at = _number(block, at)
        key = key[:shared] + block[at : at + own]
        at += own + length
        yield key, block[at - length : at]


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Return where a block begins, its size, and where reading goes on."""
    start, at = _number(data, at)
    size, at = _number(data, at)
    return start, size, at


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield numbers and values of a message's fields; those of a fixed width (checksums) as they are."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _number(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _number(message, at)
        else:
            length = _FIXED[kind]
        yield number, message[at : at + length]
        at += length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of any length, seven bits a byte, and return it with where reading goes on."""
    number = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("the index ends within a number")
        number |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return number, at
