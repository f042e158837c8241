"""The base model: what it must have, and the precision it is loaded in."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch

from recommender.errors import AssetError, ConfigError
from recommender.model import load_llm, resolve_device, resolve_dtype
from recommender.model.language_model import first_layers


def test_more_ranking_layers_than_the_model_has(config):
    with pytest.raises(ConfigError, match="has 3 layers"):
        load_llm(config.updated({"base.rank_layers": 4}).base)


def test_dtype_by_name():
    assert resolve_dtype("float32") is torch.float32
    assert resolve_dtype("bfloat16") is torch.bfloat16
    assert resolve_dtype("auto") in (torch.float32, torch.bfloat16)


def test_auto_is_bfloat16_on_a_gpu_that_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert resolve_dtype("auto", torch.device("cuda")) is torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert resolve_dtype("auto", torch.device("cuda")) is torch.float32


def test_a_model_made_on_a_gpu_is_served_on_a_cpu_without_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("cuda") == resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("cuda") == torch.device("cuda")


def test_a_folder_that_is_no_model_is_one_clear_error(config, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(AssetError, match="cannot be loaded") as error:
        load_llm(config.updated({"base.llm": str(tmp_path)}).base)
    assert "\n" not in str(error.value) and error.value.hint == "name a causal language model"


def test_a_model_without_a_chat_template_is_refused(config, llm_folder, tmp_path):
    copy = tmp_path / "base"
    shutil.copytree(llm_folder, copy)
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template") as error:
        load_llm(config.updated({"base.llm": str(copy)}).base)
    assert "instruction-tuned" in error.value.hint


def test_four_bits_without_bitsandbytes_are_one_line(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    with pytest.raises(ConfigError, match="needs bitsandbytes, which is not installed") as error:
        load_llm(config.updated({"base.load_in_4bit": True}).base)
    assert "\n" not in str(error.value) and "recommender[quantized]" in error.value.hint


def test_four_bits_on_a_device_without_them_are_one_line(config, monkeypatch):
    pytest.importorskip("bitsandbytes")
    from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer

    def refuse(*_, **__):
        raise RuntimeError("None of the available devices `['npu']` are supported\nand more of it")

    refuse.__code__ = refuse.__code__.replace(
        co_filename="/site-packages/transformers/quantizers/quantizer_bnb_4bit.py"
    )
    monkeypatch.setattr(Bnb4BitHfQuantizer, "validate_environment", refuse)
    with pytest.raises(ConfigError, match="bitsandbytes cannot be used on cpu .*npu") as error:
        load_llm(config.updated({"base.load_in_4bit": True}).base)
    assert "\n" not in str(error.value) and "load_in_4bit: false" in error.value.hint


def test_the_base_is_frozen(config):
    llm, _ = load_llm(config.base)
    assert not any(parameter.requires_grad for parameter in llm.parameters())


def test_a_view_of_the_first_layers_leaves_the_whole_as_it_is(config):
    llm, _ = load_llm(config.base)
    norm = torch.nn.Identity()
    view = first_layers(llm.model, 2, norm)
    assert len(view.layers) == view.config.num_hidden_layers == 2 and view.norm is norm
    assert len(llm.model.layers) == llm.model.config.num_hidden_layers == 3 and llm.model.norm is not norm
    assert all(mine is whole for mine, whole in zip(view.layers, llm.model.layers, strict=False))
