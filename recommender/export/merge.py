"""Merging: exports a checkpoint as ordinary `transformers` folders, which any engine for causal LLMs reads.

`rank/` is the base cut to the ranking depth, with LoRA merged into its weights and every item, code and soft token as a
row of its vocabulary; `write/` is the whole base with the writing LoRA merged into its weights.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.errors import CheckpointError, ConfigError
from recommender.export import ITEMS
from recommender.model.architecture import as_plain_scores, cut_config, positions_read, scale_norm
from recommender.model.checkpoint import Checkpoint
from recommender.model.manifest import check_target, written_folder
from recommender.model.network import RecommenderModel
from recommender.progress import Progress
from recommender.prompting.example import (
    FIRST_SOFT,
    IGNORE,
    ITEM,
    TOKEN,
    Example,
    unlabelled_example,
    word_positions,
)
from recommender.prompting.packing import collate

LARGEST_DIFFERENCE = 2e-3
"""Largest difference of any logit after reloading, as a share of the logits' spread."""
COMPARED = 4
#: A sliding window up to this size is exceeded by what is compared; a longer one takes minutes on a CPU.
LONGEST_COMPARED = 1024


@dataclass(frozen=True)
class MergeReport:
    """How far the reloaded logits are from the checkpoint's, as a share of their spread, for ranking and writing."""

    rank_difference: float
    write_difference: float
    tied: bool
    vocabulary: int


@dataclass(frozen=True)
class TokenLayout:
    """The layout of the merged vocabulary: words, then codes, then items, then soft tokens.

    With one level a code is an item, so items have no rows of their own. `placeholders`: names of rows that stand for soft
    tokens, for a server that projects these itself; their rows take the place of those of soft tokens, whose ids stay.
    `items_beside`: for a server that has a table of items beside its vocabulary, which then ends with the placeholders; ids
    of items are numbers behind it.
    """

    words: int
    codes: int
    items: int
    soft: int
    codes_are_items: bool
    placeholders: tuple[str, ...] = ()
    items_beside: bool = False

    @classmethod
    def of(cls, model: RecommenderModel) -> TokenLayout:
        """Return the layout for a model, with a row for everything."""
        soft = model.item_embeddings(torch.zeros(1, dtype=torch.long, device=model.device))[1].shape[1]
        return cls(model.vocabulary, int(model.offsets[-1]), len(model.codes), soft, model.codes.shape[1] == 1)

    def served(self, placeholders: tuple[str, ...]) -> TokenLayout:
        """Return the layout for a server that projects soft tokens itself: its vocabulary grows with codes only."""
        return replace(self, placeholders=placeholders, items_beside=not self.codes_are_items)

    @property
    def first_item(self) -> int:
        """The id of the first item that is no code."""
        return self.words + self.codes + (len(self.placeholders) if self.items_beside else 0)

    @property
    def first_soft(self) -> int:
        """The id of the first soft token."""
        return self.first_item + (0 if self.codes_are_items else self.items)

    @property
    def first_placeholder(self) -> int:
        """The id of the first placeholder; they stand at the end of the vocabulary."""
        return self.words + self.codes if self.items_beside else self.first_soft

    @property
    def size(self) -> int:
        """How many rows the vocabulary has."""
        if self.items_beside:
            return self.first_item
        return self.first_soft + (len(self.placeholders) or self.items * self.soft)

    def names(self) -> list[str]:
        """Return the token of each row behind the words."""
        codes = [f"<|code_{c}|>" for c in range(self.codes)]
        if self.items_beside:
            return [*codes, *self.placeholders]
        items = [] if self.codes_are_items else [f"<|item_{i}|>" for i in range(self.items)]
        soft = self.placeholders or [f"<|item_{i}_soft_{j}|>" for i in range(self.items) for j in range(self.soft)]
        return [*codes, *items, *soft]

    def ids(self, example: Example, codes: np.ndarray) -> np.ndarray:
        """Return an example's positions as ids of the merged vocabulary; `codes` [items, levels] from zero."""
        ids = example.tokens.copy()
        item = example.slots == ITEM
        numbers = example.items[item]
        ids[item] = self.words + codes[numbers, 0] if self.codes_are_items else self.first_item + numbers
        soft = ~item & (example.slots != TOKEN)
        ids[soft] = self.first_soft + example.items[soft] * self.soft + example.slots[soft] - FIRST_SOFT
        return ids


def merge(checkpoint: Checkpoint, target: str | Path, progress: Progress | None = None) -> MergeReport:
    """Write `rank/`, `write/` and `items.json` into the folder `target`, atomically; they need this package no more.

    All is computed and written in float32: LoRA merged into bfloat16 weights writes other words. Both folders are loaded
    again and their logits compared before the folder takes its name. Raises ConfigError for a 4-bit base,
    CheckpointError if the reloaded logits differ or if something else stands at `target`.
    """
    if checkpoint.config.base.load_in_4bit:
        raise ConfigError(
            "a 4-bit base cannot be merged: its weights are rounded",
            "recommender export --full-precision",
        )
    if checkpoint.model.memory is not None:
        raise ConfigError(
            "base.memory: a plain language model has no place for what it adds to the scores",
            "recommender export --vllm, or train with base.memory: 0",
        )
    check_target(Path(target), ITEMS)
    checkpoint = replace(checkpoint, model=copy.deepcopy(checkpoint.model).float().eval())
    model = checkpoint.model
    steps = progress or (lambda *_: None)
    with torch.no_grad(), written_folder(Path(target), ITEMS) as folder:
        steps("merge", 0, 4)
        layout = TokenLayout.of(model)
        tied = save_ranking(checkpoint, layout, folder / "rank")
        steps("merge", 1, 4)
        _check_tokenizer(layout, folder / "rank")
        ranking = compare_ranking(checkpoint, layout, folder / "rank")
        steps("merge", 2, 4)
        _save_writing(checkpoint, folder / "write")
        steps("merge", 3, 4)
        writing = compare_writing(checkpoint, folder / "write")
        write_items(checkpoint, layout, folder / ITEMS)
        steps("merge", 4, 4)
    return MergeReport(ranking, writing, tied, layout.size)


def _merged(model: RecommenderModel, adapter: str) -> Any:
    """Return a copy of the base with one LoRA adapter in its weights."""
    return copy.deepcopy(model.peft).merge_and_unload(adapter_names=[adapter])


def plain_base(model: RecommenderModel) -> Any:
    """Return a copy of the base without any adapter."""
    return copy.deepcopy(model.peft).unload()


def ranking_llm(model: RecommenderModel, layout: TokenLayout, merged: bool = True) -> Any:
    """Return a plain causal LLM that ranks as `model` does: the first layers, LoRA merged, codes in the vocabulary.

    In the type of the base model; shares no weight with `model`. Without `merged` the LoRA has to be applied to it.
    """
    whole, base = _merged(model, RANK) if merged else plain_base(model), model.config.base
    tied = bool(whole.config.tie_word_embeddings) and layout.codes_are_items
    short = short_llm(whole, base.rank_layers, layout.size, tied)
    weight = whole.get_input_embeddings().weight
    short.model.norm.load_state_dict(model.rank_norm.state_dict())
    # one table may serve for input and output: it holds the scaled input rows, and the norm divides by the scale
    if base.item_scale != 1:
        scale_norm(short.model.norm, 1 / base.item_scale)
    short.get_input_embeddings().weight.copy_(torch.cat([weight, *_input_rows(model, layout)]))
    if not tied:
        short.get_output_embeddings().weight.copy_(
            torch.cat([whole.get_output_embeddings().weight, *_output_rows(model, layout)])
        )
    return short.eval()


def short_llm(whole: Any, layers: int, vocabulary: int, tied: bool) -> Any:
    """Return a model of the kind of `whole` with its first layers, for a larger vocabulary whose rows are not set yet.

    Its logits are the products of its head alone: what the base does behind them is for words.
    """
    config = cut_config(whole.config, layers)
    config.vocab_size, config.tie_word_embeddings = vocabulary, tied
    as_plain_scores(config)
    short = type(whole)(config).to(whole.get_input_embeddings().weight.dtype)
    short.model.layers.load_state_dict(whole.model.layers[:layers].state_dict())
    bias, words = getattr(short.get_output_embeddings(), "bias", None), whole.get_output_embeddings()
    if bias is not None:
        with torch.no_grad():
            bias.zero_()[: len(words.bias)].copy_(words.bias)
    return short


def save_ranking(checkpoint: Checkpoint, layout: TokenLayout, folder: Path, merged: bool = True) -> bool:
    """Write the ranking model; returns whether input and output share one table.

    `merged`: with LoRA in its weights, and a token for every row. A server that applies the LoRA is asked in ids only.
    """
    short = ranking_llm(checkpoint.model, layout, merged)
    # the base's own sampling settings would prune items
    short.generation_config = GenerationConfig(do_sample=False, eos_token_id=checkpoint.tokenizer.eos_token_id)
    short.save_pretrained(folder)
    save_tokenizer(checkpoint, layout, folder) if merged else checkpoint.tokenizer.save_pretrained(folder)
    return bool(short.config.tie_word_embeddings)


def _input_rows(model: RecommenderModel, layout: TokenLayout) -> list[Tensor]:
    if layout.placeholders or layout.items_beside:
        soft_rows = model.centre.new_zeros(len(layout.placeholders), model.hidden_size)
    else:
        soft_rows = model.all_items()[1].flatten(0, 1)
    if layout.codes_are_items:
        return [model.by_code(item_positions(model)), soft_rows]
    code_rows = model.code_rows(torch.arange(layout.codes, device=model.device))
    return [code_rows, soft_rows] if layout.items_beside else [code_rows, item_positions(model), soft_rows]


def item_positions(model: RecommenderModel) -> Tensor:
    """Return what stands at the position of each item [items, hidden], without the soft tokens, which take several times
    as much memory."""
    return model.all_embeddings() * model.config.base.item_scale


def _output_rows(model: RecommenderModel, layout: TokenLayout) -> list[Tensor]:
    """Return the output rows behind the words; rows that are only ever input are zero."""
    scored = torch.cat([model.output_rows(level) for level in range(model.codes.shape[1])])
    scored = scored * model.config.base.item_scale
    return [scored, scored.new_zeros(layout.size - layout.words - layout.codes, scored.shape[1])]


def save_tokenizer(checkpoint: Checkpoint, layout: TokenLayout, folder: Path) -> None:
    """Write the base's tokenizer with the rows behind the words as tokens."""
    tokenizer = copy.deepcopy(checkpoint.tokenizer)
    # a base may have more rows than tokens: spare tokens keep the later rows at their ids
    spare = [f"<|spare_{i}|>" for i in range(layout.words - len(tokenizer))]
    tokenizer.add_tokens([*spare, *layout.names()], special_tokens=True)
    tokenizer.save_pretrained(folder)


def _save_writing(checkpoint: Checkpoint, folder: Path) -> None:
    whole = _merged(checkpoint.model, EXPLAIN)
    whole.generation_config = GenerationConfig(do_sample=False, eos_token_id=checkpoint.tokenizer.eos_token_id)
    whole.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)


def write_items(checkpoint: Checkpoint, layout: TokenLayout, path: Path) -> None:
    """Write which tokens are which item."""
    codes = (layout.words + checkpoint.model.codes).tolist()
    entries = [
        {
            "item_id": checkpoint.catalogue[i].item_id,
            "history": tokens[0] if layout.codes_are_items else layout.first_item + i,
            "codes": tokens,
            "soft": [layout.first_soft + i * layout.soft + j for j in range(layout.soft)],
        }
        for i, tokens in enumerate(codes)
    ]
    path.write_text(json.dumps(entries) + "\n", encoding="utf-8")


def _by_ids(model: Any, ids: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=ids).logits
    return logits


Reading = Callable[[Any, Tensor], Tensor]


def compare_ranking(
    checkpoint: Checkpoint, layout: TokenLayout, folder: Path, lora: Path | None = None, read: Reading = _by_ids
) -> float:
    """Return the largest difference of the logits of every level, for a few histories that end in a beam.

    `lora`: the adapter to put on the reloaded model; `read`: how that reads token ids [1, positions]. Raises CheckpointError
    if they differ too much.
    """
    model, builder = checkpoint.model, checkpoint.builder
    reloaded = reload(folder, lora)
    worst = 0.0
    for prompt, last_item in zip(sample_prompts(checkpoint), _last_items(checkpoint), strict=True):
        example = _with_codes(prompt, builder.code_tokens[last_item])
        ids = torch.from_numpy(layout.ids(example, model.ids.codes))[None]
        logits = read(reloaded, ids)[0].float()
        batch = collate([[example]]).to(model.device)
        hidden = model.read(model.embed(batch), batch.positions, batch.mask)[0]
        levels = model.codes.shape[1]
        for level in range(levels):
            place = len(example) - levels + level
            rows = slice(layout.words + int(model.offsets[level]), layout.words + int(model.offsets[level + 1]))
            worst = max(worst, logit_difference(model.code_logits(hidden[place], level), logits[place, rows]))
    return accepted(worst, folder)


def _check_tokenizer(layout: TokenLayout, folder: Path) -> None:
    """Raise CheckpointError unless a written tokenizer gives the last row its id."""
    last = layout.names()[-1]
    if AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(last) != layout.size - 1:
        raise CheckpointError(f"{folder}: the reloaded tokenizer gives {last} another id; nothing was written")


def _with_codes(prompt: Example, codes: np.ndarray) -> Example:
    """Return a prompt followed by all codes of an item but the last."""
    more = len(codes) - 1
    return Example(
        tokens=np.concatenate([prompt.tokens, codes[:more]]),
        items=np.concatenate([prompt.items, np.full(more, -1)]),
        slots=np.concatenate([prompt.slots, np.full(more, TOKEN)]),
        anchors=np.concatenate([prompt.anchors, np.full(more, -1)]),
        labels=np.concatenate([prompt.labels, np.full(more, IGNORE)]),
        interaction_ids=np.concatenate([prompt.interaction_ids, np.full(more, -1)]),
    )


def compare_writing(checkpoint: Checkpoint, folder: Path, lora: Path | None = None) -> float:
    """Return the largest difference of the logits of a long turn. Raises CheckpointError if they differ too much."""
    model = checkpoint.model
    turn = unlabelled_example(word_positions(checkpoint.builder.chat_turn(checkpoint.catalogue[0].title)))
    ids = torch.from_numpy(lengthened(turn, compared_length(model.llm.config, len(turn))).tokens)[None]
    model.use_adapter(EXPLAIN)
    try:
        ours = model.llm(input_ids=ids.to(model.device)).logits[0]
    finally:
        model.use_adapter(RANK)
    reloaded = reload(folder, lora)
    return accepted(logit_difference(ours, reloaded(input_ids=ids).logits[0]), folder)


def reload(folder: Path, lora: Path | None = None) -> Any:
    """Return a written model as transformers loads it, with an adapter if there is one."""
    # the plainest attention knows windows, caps and sinks; kernels drop some of them in silence
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", attn_implementation="eager").eval()
    return model if lora is None else PeftModel.from_pretrained(model, lora).eval()


def _histories(items: int, most: int) -> list[Sequence[int]]:
    """Return a few histories that hold the first, the last and scattered items, the last of them as long as prompts hold."""
    lengths = [*range(1, COMPARED + 1), max(most, COMPARED + 1)]
    return [np.linspace(0, items - 1, length).astype(int).tolist() for length in lengths]


def sample_prompts(checkpoint: Checkpoint) -> list[Example]:
    """Return prompts of a few histories, the last of them beyond the sliding window of the base if that is short."""
    prompts = [checkpoint.builder.prompt(history) for history in _of(checkpoint)]
    longest = compared_length(checkpoint.model.llm.config, len(prompts[-1]))
    return [*prompts[:-1], lengthened(prompts[-1], longest)]


def _last_items(checkpoint: Checkpoint) -> list[int]:
    return [history[-1] for history in _of(checkpoint)]


def _of(checkpoint: Checkpoint) -> list[Sequence[int]]:
    return _histories(len(checkpoint.catalogue), checkpoint.config.prompt.history)


def compared_length(config: Any, positions: int) -> int:
    """Return how long a prompt of so many positions must be made to exceed the sliding window of a base, if it has a short
    one: see `LONGEST_COMPARED`."""
    window = getattr(config, "sliding_window", None)
    beyond = window + COMPARED if window and window <= LONGEST_COMPARED else 0
    return max(positions, min(beyond, positions_read(config) or beyond))


def lengthened(example: Example, positions: int) -> Example:
    """Return an example that repeats itself until it has so many positions; one that is longer as it is."""
    if len(example) >= positions:
        return example
    times = -(-positions // len(example))
    tiled = [np.tile(part, times)[-positions:] for part in (example.tokens, example.items, example.slots)]
    return unlabelled_example((tiled[0], tiled[1], tiled[2]))


def logit_difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference of two rows of logits, as a share of their spread."""
    ours, theirs = ours.float().cpu(), theirs.float().cpu()
    return float((ours - theirs).abs().max() / ours.std().clamp_min(1e-6))


def accepted(difference: float, folder: Path) -> float:
    """Return a difference of logits, as a share of their spread. Raises CheckpointError if it is too large."""
    if not difference <= LARGEST_DIFFERENCE:  # NaN is no agreement
        raise CheckpointError(
            f"{folder.name}: the merged model's logits differ by {difference:.3g} of their spread"
            f" (limit {LARGEST_DIFFERENCE:g}); nothing was written",
            "report the base model: it computes something that is not in its saved weights",
        )
    return difference
