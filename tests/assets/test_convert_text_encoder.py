"""The text encoder: copied without what it does not need, and near for related sentences."""

from __future__ import annotations

import pytest

from recommender import assets
from recommender.assets.convert_text_encoder import convert


def test_the_folder_is_copied_without_what_is_not_needed(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "1_Pooling/config.json", ".gitattributes", "data_config.json"):
        (source / name).write_text(name)
    target.mkdir()
    convert(source, target)
    copied = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert copied == ["1_Pooling/config.json", "config.json"]
    assert (target / "config.json").read_text() == "config.json"


@pytest.mark.assets
def test_text_encoder_puts_related_sentences_together():
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = assets.fetch("all-minilm-l6-v2")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    sentences = ["a film about a mafia family", "The Godfather is a gangster movie", "cooking pasta at home"]
    read = tokenizer(sentences, return_tensors="pt", padding=True)
    with torch.inference_mode():
        hidden = model(**read).last_hidden_state
    mask = read["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.6 and likeness[0, 2] < 0.3
