"""Converts CTranslate2's model.bin of Whisper to the checkpoint that openai-whisper loads."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_OUTSIDE_BLOCKS = {
    "encoder.conv1.weight": "encoder/conv1/weight",
    "encoder.conv1.bias": "encoder/conv1/bias",
    "encoder.conv2.weight": "encoder/conv2/weight",
    "encoder.conv2.bias": "encoder/conv2/bias",
    "encoder.positional_embedding": "encoder/position_encodings/encodings",
    "encoder.ln_post.weight": "encoder/layer_norm/gamma",
    "encoder.ln_post.bias": "encoder/layer_norm/beta",
    "decoder.token_embedding.weight": "decoder/embeddings/weight",
    "decoder.positional_embedding": "decoder/position_encodings/encodings",
    "decoder.ln.weight": "decoder/layer_norm/gamma",
    "decoder.ln.bias": "decoder/layer_norm/beta",
}

Arrays = dict[str, np.ndarray]


def convert(source: Path, target: Path) -> None:
    """Write `target`/tiny.en.pt from `source`/model.bin; whisper.load_model takes its path."""
    arrays = read_model(source / "model.bin")
    state = {name: torch.from_numpy(np.array(array)) for name, array in to_whisper(arrays).items()}
    checkpoint = {"dims": dimensions(arrays), "model_state_dict": state}
    torch.save(checkpoint, target / "tiny.en.pt")


def read_model(path: Path) -> Arrays:
    """Read CTranslate2's binary format, version 6: a list of named arrays, then aliases of them.

    All numbers are little-endian; a name is its length (16 bits) and that many bytes, the last one being zero.
    Raises ValueError where the file is of another version or holds another type.
    """
    with path.open("rb") as file:
        (version,) = _numbers(file, "I")
        specification = _name(file)
        if version != 6 or specification != "WhisperSpec":
            raise ValueError(f"expected a WhisperSpec of version 6, found {specification} of version {version}")
        _revision, count = _numbers(file, "II")
        arrays = dict(_array(file) for _ in range(count))
        (aliases,) = _numbers(file, "I")
        for _ in range(aliases):
            alias, name = _name(file), _name(file)
            arrays[alias] = arrays[name]
    return arrays


def dimensions(arrays: Arrays) -> dict[str, int]:
    """Return the fields of openai-whisper's `ModelDimensions`, read off the shapes."""
    width, mels, _kernel = arrays["encoder/conv1/weight"].shape
    vocabulary, text_width = arrays["decoder/embeddings/weight"].shape
    return {
        "n_mels": mels,
        "n_audio_ctx": len(arrays["encoder/position_encodings/encodings"]),
        "n_audio_state": width,
        "n_audio_head": int(arrays["encoder/num_heads"]),
        "n_audio_layer": _layers(arrays, "encoder"),
        "n_vocab": vocabulary,
        "n_text_ctx": len(arrays["decoder/position_encodings/encodings"]),
        "n_text_state": text_width,
        "n_text_head": int(arrays["decoder/num_heads"]),
        "n_text_layer": _layers(arrays, "decoder"),
    }


def to_whisper(arrays: Arrays) -> Arrays:
    """Rename to openai-whisper's parameters and take the fused attention matrices apart."""
    state = {ours: arrays[theirs] for ours, theirs in _OUTSIDE_BLOCKS.items()}
    for part in ("encoder", "decoder"):
        for layer in range(_layers(arrays, part)):
            block = _block(arrays, f"{part}/layer_{layer}", crossed=part == "decoder")
            state |= {f"{part}.blocks.{layer}.{name}": array for name, array in block.items()}
    return state


def _block(arrays: Arrays, prefix: str, crossed: bool) -> Arrays:
    """One layer: self-attention (q, k, v in one matrix), cross-attention (q alone; k, v in one), feed-forward."""
    self_attention = f"{prefix}/self_attention"
    block = _norm(arrays, self_attention, "attn_ln")
    block |= _split(arrays, f"{self_attention}/linear_0", "attn", ("query", "key", "value"))
    block |= _split(arrays, f"{self_attention}/linear_1", "attn", ("out",))
    if crossed:
        cross_attention = f"{prefix}/attention"
        block |= _norm(arrays, cross_attention, "cross_attn_ln")
        block |= _split(arrays, f"{cross_attention}/linear_0", "cross_attn", ("query",))
        block |= _split(arrays, f"{cross_attention}/linear_1", "cross_attn", ("key", "value"))
        block |= _split(arrays, f"{cross_attention}/linear_2", "cross_attn", ("out",))
    block |= _norm(arrays, f"{prefix}/ffn", "mlp_ln")
    block |= _split(arrays, f"{prefix}/ffn/linear_0", "mlp", ("0",))
    return block | _split(arrays, f"{prefix}/ffn/linear_1", "mlp", ("2",))


def _norm(arrays: Arrays, prefix: str, name: str) -> Arrays:
    return {
        f"{name}.weight": arrays[f"{prefix}/layer_norm/gamma"],
        f"{name}.bias": arrays[f"{prefix}/layer_norm/beta"],
    }


def _split(arrays: Arrays, linear: str, module: str, names: tuple[str, ...]) -> Arrays:
    """Cut a linear layer into equal ones. Whisper's keys have no bias: there CTranslate2 stores zeros."""
    weights = np.split(arrays[f"{linear}/weight"], len(names))
    biases = np.split(arrays[f"{linear}/bias"], len(names))
    cut = {}
    for name, weight, bias in zip(names, weights, biases, strict=True):
        cut[f"{module}.{name}.weight"] = weight
        if name != "key":
            cut[f"{module}.{name}.bias"] = bias
        elif bias.any():
            raise ValueError(f"{linear}: the keys have a bias, which Whisper's architecture has not")
    return cut


def _layers(arrays: Arrays, part: str) -> int:
    return len({name.split("/")[1] for name in arrays if name.startswith(f"{part}/layer_") and name.count("/") > 2})


def _array(file: BinaryIO) -> tuple[str, np.ndarray]:
    name = _name(file)
    (rank,) = _numbers(file, "B")
    shape = _numbers(file, "I" * rank)
    kind, size = _numbers(file, "BI")
    if kind not in _TYPES:
        raise ValueError(f"{name}: numbers of the unknown type {kind}")
    data = np.frombuffer(file.read(size), dtype=np.dtype(_TYPES[kind]).newbyteorder("<"))
    return name, data.reshape(shape)


def _name(file: BinaryIO) -> str:
    (length,) = _numbers(file, "H")
    return file.read(length).rstrip(b"\0").decode()


def _numbers(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(f"<{layout}", file.read(struct.calcsize(f"<{layout}")))
