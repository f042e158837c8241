"""A checkpoint of a tiny language model with random weights, as a folder: for measuring what is around the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, save_pretrained
from recommender.semantic_ids.codes import SemanticIds

_WORDS = "The user saw these films and may see next one of a the an item system assistant".split()
_TURNS = "{% for m in messages %}<|im_start|> {{ m['role'] }} {{ m['content'] }} <|im_end|> {% endfor %}"
_WIDTH = 32


def tiny_checkpoint(folder: Path, items: int, seed: int = 0, interactions: Path | None = None) -> Path:
    """Write a checkpoint of two layers 32 wide, its base model and its items table into `folder`; return its own folder.

    `interactions`: a table that its config names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_base(folder / "base", _WORDS, _WIDTH, seed)
    lines = (f'{{"item_id": "{number}", "title": "item {number}"}}\n' for number in range(items))
    (folder / "items.jsonl").write_text("".join(lines), encoding="utf-8")
    data = {"items": str(folder / "items.jsonl")}
    if interactions is not None:
        data["interactions"] = str(interactions)
    config = Config.parse(
        {
            "seed": seed,
            "data": data,
            "encoders": {"text": None, "image": None, "audio": None},
            "base": {"llm": str(folder / "base"), "dtype": "float32", "rank_layers": 2},
            "lora": {"r": 4, "lora_alpha": 8},
            "prompt": {"history": 20, "titled": 2},
        }
    )
    vectors = np.random.default_rng(seed).standard_normal((items, 8)).astype(np.float32)
    features = Features({"text": vectors}, {"text": np.ones(items, dtype=bool)}).rounded()
    llm, tokenizer = load_llm(config.base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RecommenderModel(llm, SemanticIds.atomic(items), features, config).eval()
    catalogue = Catalogue.load(config.data.items, config.data, media=False)
    save_pretrained(Checkpoint(model, tokenizer, catalogue, config), folder / "model")
    return folder / "model"


def write_base(folder: Path, words: Sequence[str], hidden: int, seed: int = 0) -> None:
    """Write a random Llama of two layers `hidden` wide, whose tokenizer knows the words and nothing else."""
    known = dict.fromkeys(["<unk>", "<|im_start|>", "<|im_end|>", *words])
    vocabulary = {word: place for place, word in enumerate(known)}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = {"unk_token": "<unk>", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **tokens, chat_template=_TURNS).save_pretrained(folder)
    sizes = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
    config = LlamaConfig(vocab_size=len(vocabulary), tie_word_embeddings=True, **sizes, **heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
