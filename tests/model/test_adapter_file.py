"""Weights of strangers: types, shapes and numbers are judged by the header, before memory is taken for what they claim."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from recommender.config import Config
from recommender.engine import Recommender
from recommender.errors import CheckpointError, ConfigError, RecommenderError
from recommender.model.adapter_file import check_adapter_fits
from recommender.model.checkpoint import copy_adapter, save_pretrained
from tests.model.test_damaged_checkpoints import vouched

A_GIGABYTE = 1 << 20  # in the KB of getrusage


@pytest.fixture
def made(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint(3)
    save_pretrained(checkpoint, tmp_path / "model")
    return tmp_path / "model", checkpoint.catalogue


def refused(folder, catalogue):
    """Return the message of a checkpoint that is refused in one line, without memory for what it claims."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RecommenderError) as error:
        Recommender.from_pretrained(folder, catalogue)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < A_GIGABYTE / 2
    assert "\n" not in error.value.message and len(error.value.message) < 1000
    return error.value.message


def set_in_config(folder, **changes):
    raw = yaml.safe_load((folder / "config.yaml").read_text())
    for key, value in changes.items():
        section, name = key.split("__")
        raw[section][name] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    vouched(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lora__r": 10**9}, "lora_A.rank"),
        ({"lora__r": 5}, "lora_A.rank"),
        ({"prompt__soft_tokens": 3_000_000}, "soft_tokens"),
        ({"prompt__soft_tokens": 200}, "projectors"),
        ({"encoders__collaborative_width": 10**9}, "collaborative_width"),
        ({"base__rank_layers": 3}, "layers.2"),
        ({"lora__target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "lm_head"]}, "differ"),
    ],
)
def test_a_config_that_claims_other_sizes_than_the_weights_is_named(made, change, named):
    folder, catalogue = made
    set_in_config(folder, **change)
    assert named in refused(folder, catalogue)


@pytest.mark.parametrize("level", [0, -1])
@pytest.mark.parametrize("size", [10**9, 2**62, 10**5])
def test_sizes_of_levels_are_those_of_their_codes(made, level, size):
    folder, catalogue = made
    tensors = load_arrays(folder / "semantic_ids.safetensors")
    tensors["sizes"] = tensors["sizes"].copy()
    tensors["sizes"][level] = size
    save_arrays(tensors, folder / "semantic_ids.safetensors")
    vouched(folder)
    assert str(size) in refused(folder, catalogue)


def test_one_level_claims_no_more_codes_than_items(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint()
    save_pretrained(checkpoint, tmp_path / "model")
    path = tmp_path / "model" / "semantic_ids.safetensors"
    save_arrays(load_arrays(path) | {"sizes": np.array([10**9])}, path)
    vouched(tmp_path / "model")
    assert "1000000000" in refused(tmp_path / "model", checkpoint.catalogue)


@pytest.mark.parametrize(
    "dtype",
    [torch.bool, torch.int8, torch.int32, torch.int64, torch.uint8, torch.complex64, torch.float64]
    + [torch.float8_e4m3fn, torch.float8_e5m2],
)
@pytest.mark.parametrize("name", ["rows", "rank_norm.weight"])
def test_weights_are_floats(made, dtype, name):
    folder, catalogue = made
    path = folder / "adapter.safetensors"
    tensors = load_file(path)
    save_file(tensors | {name: tensors[name].to(dtype)}, path)
    vouched(folder)
    message = refused(folder, catalogue)
    assert name in message and "adapter.safetensors" in message and "F32 or F16 or BF16" in message


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_of_other_floats_are_read(made, dtype):
    folder, catalogue = made
    path = folder / "adapter.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path)
    vouched(folder)
    Recommender.from_pretrained(folder, catalogue)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_weights_are_finite(made, number):
    folder, catalogue = made
    path = folder / "adapter.safetensors"
    tensors = load_file(path)
    tensors["rows"][3, 5] = number
    save_file(tensors, path)
    vouched(folder)
    message = refused(folder, catalogue)
    assert "'rows'" in message and "finite" in message


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("semantic_ids", lambda t: t | {"codes": t["codes"].astype(np.float32)}),
        ("semantic_ids", lambda t: t | {"sizes": t["sizes"].astype(np.uint8)}),
        ("semantic_ids", lambda t: t | {"extra": t["sizes"]}),
        ("semantic_ids", lambda t: t | {"sizes": np.array(20)}),
        ("features", lambda t: t | {"vectors.text": t["vectors.text"].astype(np.int32)}),
        ("features", lambda t: t | {"vectors.text": t["vectors.text"] * np.float16(np.nan)}),
        ("features", lambda t: t | {"vectors.text": t["vectors.text"].ravel()[:20]}),
        ("features", lambda t: t | {"present.text": t["present.text"].astype(np.float32)}),
    ],
)
def test_codes_and_vectors_are_of_their_types(made, name, change):
    folder, catalogue = made
    path = folder / f"{name}.safetensors"
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    save_arrays({n: np.ascontiguousarray(t) for n, t in change(load_arrays(path)).items()}, path, metadata)
    vouched(folder)
    assert path.name in refused(folder, catalogue)


def header(length, text=b"{}", rest=b""):
    return length.to_bytes(8, "little") + text + rest


ONE = '"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}'


@pytest.mark.parametrize("name", ["adapter", "features", "semantic_ids", "trained_on", "fusion"])
@pytest.mark.parametrize(
    "content",
    [
        header(2**63),
        header(2**64 - 1),
        header(0),
        header(2, b"[]"),
        header(len(ONE) * 2 + 3, f"{{{ONE},{ONE}}}".encode(), b"\0" * 4),
        header(51, b'{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'[:51]),
        header(56, b'{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,400]}}', b"\0" * 4),
        header(70, b'{"a":{"dtype":"F16","shape":[4611686018427387904],"data_offsets":[0,4]}}'[:70]),
        header(3000, b'{"__metadata__":' + b"[" * 2984),
        header(20, b'{"__metadata__":"x"}'),
        header(19, b'{"__metadata__":{}}'),
    ],
)
def test_headers_that_lie_end_in_one_line(made, name, content):
    folder, catalogue = made
    (folder / f"{name}.safetensors").write_bytes(content)
    vouched(folder)
    refused(folder, catalogue)


def test_a_rank_that_no_matrix_has_is_refused_before_a_model_is_built(make_checkpoint, config):
    with pytest.raises(ConfigError, match="lora.r is 1000000000"):
        make_checkpoint(1, config.updated({"lora.r": 10**9}))


def test_an_adapter_to_start_from_is_not_stretched_over_other_shapes(made, make_checkpoint):
    folder, _ = made
    path = folder / "adapter.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"rank_norm.weight": tensors["rank_norm.weight"][:1]}, path)
    vouched(folder)
    with pytest.raises(CheckpointError, match="rank_norm.weight"):
        copy_adapter(make_checkpoint().model, folder)


def test_what_was_saved_fits(made, make_checkpoint):
    folder, _ = made
    model = make_checkpoint(3).model
    config = Config.load(folder / "config.yaml")
    llm = make_checkpoint(3).model.llm.__class__.from_pretrained(config.base.llm)
    check_adapter_fits(folder / "adapter.safetensors", llm, model.ids, model.features, config)
