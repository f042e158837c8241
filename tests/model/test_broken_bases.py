"""Folders of base models that are broken or claim what no machine holds: one clear line each."""

from __future__ import annotations

import json
import shutil

import pytest

from recommender.config import BaseConfig
from recommender.errors import RecommenderError
from recommender.model.language_model import load_llm

DEEP = "[" * 5000 + "]" * 5000


def config_with(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def text_of(name, text):
    return lambda folder: (folder / name).write_text(text)


def cut(name):
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


@pytest.mark.parametrize(
    "change",
    [
        text_of("config.json", "{"),
        text_of("config.json", "[]"),
        text_of("config.json", "7"),
        text_of("config.json", "{}"),
        text_of("config.json", DEEP),
        text_of("config.json", '{"model_type": []}'),
        text_of("config.json", '{"model_type": "no-such-model"}'),
        config_with(hidden_size="many"),
        config_with(hidden_size=-1),
        config_with(hidden_size=0),
        config_with(hidden_size=10**9),
        config_with(vocab_size=10**12),
        config_with(vocab_size=5),
        config_with(intermediate_size=10**9),
        config_with(num_attention_heads=0),
        config_with(num_attention_heads=[2]),
        config_with(num_hidden_layers=10**7),
        config_with(num_hidden_layers="3"),
        config_with(num_hidden_layers=5),
        config_with(dtype="float12"),
        config_with(hidden_act="no-such-act"),
        config_with(auto_map={"AutoModelForCausalLM": "evil.Model"}, model_type="evil"),
        config_with(architectures=7),
        config_with(rope_scaling={"rope_type": "none-such"}),
        text_of("tokenizer.json", "{"),
        text_of("tokenizer.json", "[]"),
        text_of("tokenizer.json", "{}"),
        text_of("tokenizer.json", DEEP),
        text_of("tokenizer.json", '{"model": {"type": "BPE", "vocab": 7}}'),
        text_of("tokenizer_config.json", "[]"),
        text_of("tokenizer_config.json", "{"),
        text_of("tokenizer_config.json", DEEP),
        text_of("tokenizer_config.json", '{"chat_template": 7}'),
        text_of("generation_config.json", "{"),
        text_of("generation_config.json", "[1]"),
        text_of("model.safetensors", ""),
        text_of("model.safetensors", "\x7f" * 64),
        cut("model.safetensors"),
        cut("tokenizer.json"),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "config.json").unlink(),
    ],
)
def test_a_broken_base_is_one_line(llm_folder, tmp_path, change):
    folder = tmp_path / "base"
    shutil.copytree(llm_folder, folder)
    change(folder)
    try:
        load_llm(BaseConfig(llm=str(folder), rank_layers=2))
    except RecommenderError as error:
        assert "\n" not in error.message and len(error.message) < 1000
    # else what was changed is not needed: it was read all the same
