"""What a language model knows by a name: its middle states, the same whatever stands beside a title in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from recommender.encoders.knowledge import DEPTH, KnowledgeEncoder
from recommender.errors import AssetError


def test_a_title_is_the_mean_of_its_middle_states_behind_the_first(llm_folder):
    encoder = KnowledgeEncoder(str(llm_folder))
    titles = ["red stone", "the night of a river " * 5, "war"]
    together = encoder.encode(titles)
    model, tokenizer = AutoModel.from_pretrained(llm_folder), AutoTokenizer.from_pretrained(llm_folder)
    depth = round(DEPTH * model.config.num_hidden_layers)
    assert 0 < depth < model.config.num_hidden_layers
    for title, found in zip(titles, together, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(f"Title: {title}", return_tensors="pt"), output_hidden_states=True).hidden_states
        np.testing.assert_allclose(found, states[depth][0, 1:].mean(0).numpy(), atol=1e-4)


def test_a_name_says_what_is_asked_of_the_model(llm_folder, text_folder, tmp_path):
    assert KnowledgeEncoder(str(llm_folder)).identity.startswith("knowledge-1 ")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(AssetError, match=r"encoders\.knowledge.*cannot be loaded"):
        KnowledgeEncoder(str(tmp_path)).load()


@pytest.mark.assets
def test_films_of_a_kind_are_known_by_names_that_share_no_word():
    kinds = [
        "Star Wars (1977)/Alien (1979)/Blade Runner (1982)/The Terminator (1984)/RoboCop (1987)/Jurassic Park (1993)",
        "Casablanca (1942)/Pretty Woman (1990)/Sleepless in Seattle (1993)/Emma (1996)/Sabrina (1995)/Titanic (1997)",
    ]
    titles = [title for kind in kinds for title in kind.split("/")]
    vectors = KnowledgeEncoder("smollm2-135m-instruct").encode(titles)
    vectors -= vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = (vectors @ vectors.T).reshape(2, 6, 2, 6).mean((1, 3))
    own = (likeness.diagonal() * 36 - 6) / 30  # without each film's likeness to itself
    assert own.min() > likeness[0, 1] + 0.08
