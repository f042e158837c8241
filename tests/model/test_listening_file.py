"""The file of what listens: it comes back as it was, beside an unchanged ranking, and a damaged one is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file, save_file

from recommender.errors import CheckpointError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.model.listening_file import LISTENING, load_listening
from tests.conftest import wide_checkpoint


@pytest.fixture
def saved(listening_checkpoint, tmp_path):
    save_pretrained(listening_checkpoint, tmp_path / "saved")
    return tmp_path / "saved"


def test_it_comes_back(listening_checkpoint, saved):
    loaded = from_pretrained(saved, listening_checkpoint.catalogue)
    hidden = torch.randn(2, loaded.model.hidden_size)
    ours, theirs = listening_checkpoint.model.listener, loaded.model.listener
    assert torch.allclose(ours(hidden), theirs(hidden), atol=0.05)
    assert "converse" in loaded.prompts and loaded.model.listening_layers == listening_checkpoint.model.listening_layers
    tensors = load_file(saved / "adapter.safetensors")
    assert not any("converse" in name or name.startswith("listener") for name in tensors)


def test_without_the_file_or_with_other_prompts_nothing_listens(listening_checkpoint, saved, tmp_path):
    other = dataclasses.replace(listening_checkpoint, prompts={"rank": listening_checkpoint.prompts["rank"]})
    save_pretrained(other, tmp_path / "other")
    loaded = from_pretrained(tmp_path / "other", listening_checkpoint.catalogue)
    assert loaded.model.listener is None and "converse" not in loaded.prompts


@pytest.fixture
def make_listening_model(catalogue, features, tmp_path):
    return lambda: wide_checkpoint(tmp_path / "again", catalogue, features, 1).model


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("listener.bias", lambda t: t[:-1], "listener.bias"),
        ("listener.known", lambda t: t[:-1], "knows other items"),
        ("listener.query.weight", lambda t: t.T.contiguous(), "listener.query.weight"),
        ("listener.bias", lambda t: t.fill_(float("nan")), "not finite"),
        ("listener.bias", lambda t: t.long(), "type"),
    ],
)
def test_what_does_not_fit_is_refused(make_listening_model, saved, name, change, said):
    path = saved / LISTENING
    tensors = load_file(path)
    tensors[name] = change(tensors[name].clone())
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=said):
        load_listening(make_listening_model(), path)
