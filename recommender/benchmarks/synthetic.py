"""A checkpoint without training, for benchmarks: the base LLM at any depth, random codes, rows and LoRA from a seed."""

from __future__ import annotations

import numpy as np
import torch

from recommender.adapters.lora import RANK
from recommender.config import Config
from recommender.constraints import Trie
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.features import Features
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint
from recommender.progress import Progress
from recommender.prompting.example import IGNORE, Example
from recommender.semantic_ids.codes import SemanticIds

#: Codes that follow a code on average: real items cluster, while uniformly random codes would not.
BRANCH = 8
#: Factor of a level's scores, which spreads them like those of a trained model: without it nearly all would be ties.
SHARPNESS = 3.0
#: Positions of the fixed instruction that every prompt begins with.
INSTRUCTION = 64


def random_codes(items: int, levels: int, size: int, seed: int = 0) -> np.ndarray:
    """Return unique codes [items, levels] of `size` codes a level, int32; about `BRANCH` codes follow a prefix.

    The last level is as wide as uniqueness needs. Raises ValueError if there are more items than codes.
    """
    if items > size**levels:
        raise ValueError(f"{items} items need more than {levels} levels of {size} codes")
    rng = np.random.default_rng(seed)
    branch = [size, *[max(BRANCH, _root(items * 1.5 / size, levels - 1))] * (levels - 1)]
    codes = np.zeros((0, levels), dtype=np.int32)
    while len(codes) < items:
        drawn = rng.integers(0, np.minimum(branch, size), (int(items * 1.2) + 16, levels))
        for level in range(1, levels):  # which codes follow depends on the prefix
            drawn[:, level] = (drawn[:, level] + 40_503 * drawn[:, level - 1] + 977 * level) % size
        codes = np.unique(np.concatenate([codes, drawn.astype(np.int32)]), axis=0)
        branch = [min(width * 2, size) for width in branch]
    return codes[rng.permutation(len(codes))[:items]]


def _root(value: float, degree: int) -> int:
    return int(np.ceil(max(value, 1) ** (1 / max(degree, 1))))


def synthetic_checkpoint(
    llm: str = "smollm2-135m-instruct",
    layers: int | None = None,
    items: int = 2000,
    levels: int = 4,
    size: int = 256,
    dtype: str = "auto",
    int8: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Checkpoint:
    """Make a checkpoint with `layers` ranking layers, by default all, for random items with random codes.

    Raises AssetError or ConfigError if the base model cannot be read.
    """
    config = Config.parse({"seed": seed, "base": {"llm": llm, "dtype": dtype, "rank_layers": 1}})
    base, tokenizer = load_llm(config.base, progress)
    depth = len(base.model.layers) if layers is None else layers
    config = config.updated(
        {
            "base.rank_layers": depth,
            "semantic_ids.levels": levels,
            "semantic_ids.codebook_size": size,
            "decoding.bits": 8 if int8 else 16,
        }
    )
    codes = random_codes(items, levels, size, seed)
    ids = SemanticIds(codes.astype(np.int64), (size,) * levels)
    vectors = np.random.default_rng(seed).standard_normal((items, 16)).astype(np.float32)
    features = Features({"text": vectors}, {"text": np.ones(items, dtype=bool)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # also for LoRA, so that models in other number formats are the same otherwise
        model = RecommenderModel(base, ids, features, config).eval()
    _imitate_training(model, seed)
    catalogue = Catalogue(Item(item_id=str(i), title=f"item {i}") for i in range(items))
    return Checkpoint(model, tokenizer, catalogue, config)


@torch.no_grad()
def _imitate_training(model: RecommenderModel, seed: int) -> None:
    """Give LoRA and scores the magnitude of a trained model: LoRA starts at zero, and scores start nearly equal."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B" in name and f".{RANK}." in name:
            parameter.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
    model.rank_norm.weight.mul_(SHARPNESS)


def full_trie(model: RecommenderModel) -> Trie:
    """Return the trie of all items of a model, on its device."""
    return Trie.from_codes(model.ids.codes, model.ids.sizes, model.device)


def synthetic_prompts(checkpoint: Checkpoint, prompts: int, positions: int, seed: int = 0) -> list[Example]:
    """Return prompts of `positions` tokens: an instruction that all share, then the codes of random items."""
    rng = np.random.default_rng([seed, positions])
    head = instruction(checkpoint, positions, seed)
    vocabulary, ids = checkpoint.model.vocabulary, checkpoint.model.ids
    rows = vocabulary + ids.codes + checkpoint.model.offsets[None, :-1]
    needed = -(-(positions - len(head)) // ids.levels)
    drawn = [rows[rng.integers(0, len(rows), needed)].reshape(-1) for _ in range(prompts)]
    # the last item is whole: a search that starts within an item could only continue its codes
    return [_example(np.concatenate([head, codes[len(codes) - (positions - len(head)) :]])) for codes in drawn]


def instruction(checkpoint: Checkpoint, positions: int, seed: int = 0) -> np.ndarray:
    """Return the token ids, int64, with which all prompts of `positions` tokens begin."""
    words = min(INSTRUCTION, positions // 2)
    return np.random.default_rng(seed).integers(0, len(checkpoint.tokenizer), words)


def _example(tokens: np.ndarray) -> Example:
    absent = np.full(len(tokens), -1, dtype=np.int64)
    zeros, unlabelled = np.zeros(len(tokens), np.int64), np.full(len(tokens), IGNORE, np.int64)
    return Example(tokens.astype(np.int64), absent, zeros, absent, unlabelled, absent)
