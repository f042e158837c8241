"""The ranking base in 8 bits for vLLM: what is rounded, what stays, and that vLLM ranks with it."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recommender.engine import Recommender
from recommender.engine.vllm import VllmOptions, VllmRecommender
from recommender.errors import ConfigError
from recommender.export.eight_bits import round_matrices, rounded
from recommender.export.vllm_folder import export_vllm, load_exported
from tests.conftest import wide_checkpoint


@pytest.fixture
def folders(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint(1)
    for bits in (16, 8):
        export_vllm(checkpoint, tmp_path / str(bits), bits=bits)
    return tmp_path / "16", tmp_path / "8"


def test_matrices_of_the_layers_are_rounded_and_all_else_stays(folders):
    whole, small = (load_file(folder / "rank" / "model.safetensors") for folder in folders)
    matrices = {name for name in small if small[name].dtype == torch.int8}
    assert matrices == {name for name in whole if name.startswith("model.layers.") and whole[name].dim() == 2}
    assert {"q_proj", "o_proj", "down_proj"} <= {name.split(".")[-2] for name in matrices}
    assert set(small) == set(whole) | {f"{name}_scale" for name in matrices}
    for name in whole:
        if name in matrices:
            found = small[name].float() * small[f"{name}_scale"]
            assert float((found - whole[name]).abs().max()) <= float(small[f"{name}_scale"].max()) * 0.5001
        else:
            assert small[name].equal(whole[name])
    for part in ("write/model.safetensors", "lora/rank/adapter_model.safetensors", "rank/projectors.safetensors"):
        assert (folders[0] / part).read_bytes() == (folders[1] / part).read_bytes()


def test_vllm_is_told_how_and_the_manifest_is_of_the_rounded_file(folders, catalogue):
    whole, small = (json.loads((folder / "rank" / "config.json").read_text()) for folder in folders)
    told = small.pop("quantization_config")
    assert small == whole and told["quant_method"] == "compressed-tensors" and told["ignore"] == ["lm_head"]
    assert told["config_groups"]["group_0"]["weights"]["strategy"] == "channel"
    assert load_exported(folders[1], catalogue).layout == load_exported(folders[0], catalogue).layout


def test_a_row_is_rounded_by_its_own_largest_value():
    codes, scale = rounded(torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [254.0, 2.0, 1.0]]))
    assert codes.tolist() == [[64, -127, 32], [0, 0, 0], [127, 1, 0]] and scale.shape == (3, 1)


def test_a_base_without_matrices_of_its_own_is_refused(folders, tmp_path):
    with pytest.raises(ConfigError, match="no matrices"):
        round_matrices(folders[1] / "rank")  # they are integers already, and scales are no matrices of layers
    with pytest.raises(ConfigError, match="several files"):
        round_matrices(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 3])
def test_vllm_ranks_nearly_as_the_embedded_engine(catalogue, features, tmp_path, levels, vllm_environment):
    """With LoRA on top, soft tokens in the prompt, and the trie: nothing forbidden is listed."""
    checkpoint = wide_checkpoint(tmp_path, catalogue, features, levels)
    export_vllm(checkpoint, tmp_path / "export", bits=8)
    embedded, same = Recommender(checkpoint), 0
    histories = [np.array([3, 7, 12]), np.array([1]), np.array([], dtype=np.int64), np.arange(6)]
    options = VllmOptions(write_url="http://127.0.0.1:1")  # where nobody listens
    with closing(VllmRecommender(load_exported(tmp_path / "export", catalogue), options)) as vllm:
        allowed = torch.ones(len(histories), len(catalogue), dtype=torch.bool)
        allowed[:, ::3] = False
        ours, theirs = (engine.rank(histories, 5, allowed) for engine in (embedded, vllm))
        exact, close = (engine.score(histories, range(len(catalogue))) for engine in (embedded, vllm))
    for mine, other in zip(ours, theirs, strict=True):
        assert len(other.items) == 5 and not (np.asarray(other.items) % 3 == 0).any()
        same += len(np.intersect1d(mine.items, other.items))
    assert same >= 0.8 * 5 * len(histories)
    assert 1e-3 < np.abs(exact - close).max() < 0.3  # in float32 both are the same to 1e-5
