"""A tiny world for the tests: a two-layer LLM, a word-level tokenizer, twenty items, twelve users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from recommender.catalogue import Catalogue, Item
from recommender.config import Config
from recommender.encoders.features import Features
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint
from recommender.semantic_ids import SemanticIds

ITEMS = 20
WORDS = (
    "recommend items films what next is which one you watched because and the a of in common system user assistant "
    "film red blue green yellow story night day river stone war comedy drama horror genres year 1990 1980 : , . ? ! "
    '" ( ) | Recommended Because Since start good know What Which You The'
).split()
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def llm_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("llm")
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<|im_start|>", "<|im_end|>", *dict.fromkeys(WORDS)])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="<unk>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    colours, things, genres = (
        ("red", "blue", "green", "yellow"),
        ("story", "night", "day", "river", "stone"),
        ("comedy", "drama"),
    )
    return Catalogue(
        Item(
            item_id=str(100 + i),
            title=f"The {colours[i % 4]} {things[i // 4]}",
            attributes={"genres": (genres[i % 2],), "year": ("1990" if i < 10 else "1980",)},
        )
        for i in range(ITEMS)
    )


@pytest.fixture(scope="session")
def features() -> Features:
    random = np.random.default_rng(0)
    widths = {"text": 8, "image": 6, "audio": 5, "collaborative": 4}
    vectors = {m: random.standard_normal((ITEMS, w)).astype(np.float32) for m, w in widths.items()}
    present = {m: np.ones(ITEMS, dtype=bool) for m in widths}
    present["image"][3] = False
    vectors["image"][3] = 0
    return Features(vectors, present).rounded()


@pytest.fixture(scope="session")
def histories() -> list[np.ndarray]:
    """Users who walk through the items in steps of one or two: the next item follows from the last ones."""
    return [(np.arange(9) * (1 + u % 2) + u) % ITEMS for u in range(12)]


@pytest.fixture
def config(llm_folder) -> Config:
    return Config.parse(
        {
            "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
            "lora": {"rank": 4, "alpha": 8},
            "prompt": {"history": 6, "titled": 2, "noun": "films"},
            "justify": {"window": 4, "max_new_tokens": 8},
        }
    )


@pytest.fixture
def make_checkpoint(catalogue, features, config):
    """Make an untrained checkpoint of the tiny world with atomic or with three-level ids."""

    def make(levels: int = 1, settings: Config = config) -> Checkpoint:
        ids = SemanticIds.atomic(ITEMS)
        if levels > 1:
            ids = SemanticIds.fit(features.vectors["text"], levels=levels - 1, codebook_size=4)
        llm, tokenizer = load_llm(settings.base)
        torch.manual_seed(1)
        model = RecommenderModel(llm, ids, features, settings).eval()
        return Checkpoint(model, tokenizer, catalogue, settings)

    return make
