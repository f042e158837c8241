"""Checkpoints of TensorFlow without TensorFlow, and musicnn out of one."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from recommender.assets.convert_musicnn import TAGS, convert, to_network
from recommender.assets.tensor_bundle import read_tensors
from recommender.encoders.musicnn_network import Musicnn


def number(value: int) -> bytes:
    """Write seven bits a byte, the lowest first."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Write a block of a LevelDB table: each key without the bytes that it shares with the one before it."""
    out, before = b"", b""
    for key, value in entries:
        shared = next(
            (n for n, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), min(len(before), len(key))
        )
        out += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        before = key
    return out + struct.pack("<II", 0, 1)


def write_bundle(prefix: str, tensors: dict[str, np.ndarray], compressed: int = 0) -> None:
    """Write a checkpoint as TensorFlow does, its checksums zero."""
    data, entries = b"", [(b"", b"\x08\x01")]
    for name, array in sorted(tensors.items()):
        sizes = b"".join(b"\x12" + number(len(number(n)) + 1) + b"\x08" + number(n) for n in array.shape)
        kind = 1 if array.dtype == np.float32 else 3
        where = b"\x20" + number(len(data)) + b"\x28" + number(array.nbytes)
        value = b"\x08" + number(kind) + b"\x12" + number(len(sizes)) + sizes + where + b"\x35" + bytes(4)
        entries.append((name.encode(), value))
        data += array.tobytes()
    table, handles = b"", []
    for group in (entries[: len(entries) // 2], entries[len(entries) // 2 :], []):
        if group:
            content = block(group)
            handles.append((group[-1][0], number(len(table)) + number(len(content))))
        else:
            content = block(handles)
            index = number(len(table)) + number(len(content))
        table += content + bytes([compressed]) + bytes(4)
    footer = (number(0) + number(8) + index).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
    with open(f"{prefix}.index", "wb") as file:
        file.write(table + footer)
    with open(f"{prefix}.data-00000-of-00001", "wb") as file:
        file.write(data)


def tensorflows(network: Musicnn) -> dict[str, np.ndarray]:
    """Return a network's weights as the original has them, with names of the original."""
    numbered = {"conv2d": 0, "batch_normalization": 0, "dense": 0}

    def name(kind):
        numbered[kind] += 1
        return kind if numbered[kind] == 1 else f"{kind}_{numbered[kind] - 1}"

    found = {}

    def norm(layer):
        values = zip(
            ("gamma", "beta", "moving_mean", "moving_variance"),
            (layer.weight, layer.bias, layer.running_mean, layer.running_var),
            strict=True,
        )
        head = name("batch_normalization")
        found.update({f"{head}/{key}": value for key, value in values})

    norm(network.spectrum["norm"])
    for layer in (*network.timbral, *network.temporal, *network.middle):
        kernel, head = layer.convolution.weight, name("conv2d")
        whole = kernel.permute(2, 3, 1, 0) if kernel.ndim == 4 else kernel.permute(2, 1, 0)[:, :, None]
        found |= {f"{head}/kernel": whole, f"{head}/bias": layer.convolution.bias}
        norm(layer.norm)
    norm(network.pooled["norm"])
    for layer in (network.penultimate["dense"], network.tags["dense"]):
        head = name("dense")
        found |= {f"{head}/kernel": layer.weight.T, f"{head}/bias": layer.bias}
    norm(network.penultimate["norm"])
    return {key: np.ascontiguousarray(value.detach().numpy()) for key, value in found.items()}


def test_conversion_puts_every_weight_in_its_place(tmp_path):
    torch.manual_seed(0)
    network = Musicnn()
    for statistics in network.buffers():
        if statistics.ndim:
            statistics.uniform_(0.5, 2)
    (tmp_path / "MSD_musicnn").mkdir()
    unused = {"dense/kernel/Adam": np.ones((2, 2), np.float32), "step": np.array(7, np.int32)}
    write_bundle(f"{tmp_path}/MSD_musicnn/", tensorflows(network) | unused)
    convert(tmp_path / "MSD_musicnn", tmp_path)
    expected = {key: value for key, value in network.state_dict().items() if value.ndim}
    found = load_file(tmp_path / "musicnn.safetensors")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], value.numpy()) for key, value in expected.items())
    tags = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["tags"]
    assert len(set(tags)) == 50 and tags[0] == "rock" and tags[-1] == "happy"


def test_tensors_come_back_as_they_were_written(tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "a/bc": np.ones(300, np.float32), "n": np.array(3)}
    write_bundle(str(tmp_path / "x"), tensors)
    found = read_tensors(str(tmp_path / "x"))
    assert found.keys() == {"a", "a/bc"} and np.array_equal(found["a"], tensors["a"]) and found["a/bc"].shape == (300,)


def test_what_is_no_checkpoint_says_so(tmp_path):
    path = str(tmp_path / "x")
    write_bundle(path, {"a": np.ones(3, np.float32)}, compressed=1)
    with pytest.raises(ValueError, match="compressed"):
        read_tensors(path)
    write_bundle(path, {"a": np.ones(3, np.float32)})
    (tmp_path / "x.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(ValueError, match="end before"):
        read_tensors(path)
    (tmp_path / "x.index").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no table"):
        read_tensors(path)
    with pytest.raises(KeyError):
        to_network({})


def test_every_network_has_fifty_tags():
    assert {len(set(tags.split("|"))) for tags in TAGS.values()} == {50}
