"""One sequence of the language model as arrays: what stands at each position, and what should come next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from transformers import PreTrainedTokenizerBase

from recommender.config import Modality

IGNORE = -100
VectorOverrides = Mapping[int, Mapping[Modality, np.ndarray]]
#: What stands at a position: a token of the vocabulary or of the codes, an item (its row summed with its projected
#: vectors), an item of a history that must not be read, or the j-th soft token of modality m:
#: FIRST_SOFT + m * soft_tokens + j.
MASKED, TOKEN, ITEM, FIRST_SOFT = -1, 0, 1, 2

# Private-use characters: `clean` removes them from every text, so no title can forge an item.
_OPEN, _CLOSE = "\ue000", "\ue001"
MARKER = re.compile(f"{_OPEN}([0-9]+):([0-9]+){_CLOSE}")
_FORBIDDEN = re.compile("[\ue000-\uf8ff]")


def clean(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Remove from a user's or a catalogue's text what could forge an item marker or a turn of the chat."""
    text, before = _FORBIDDEN.sub("", text), None
    while text != before:  # what is left around a removed token may be a token again
        before = text
        for token in tokenizer.all_special_tokens:
            text = text.replace(token, "")
    return text


def marker(item: int, slot: int = ITEM) -> str:
    """Return the text that stands for `item` in a rendered prompt until it is tokenised."""
    return f"{_OPEN}{item}:{slot}{_CLOSE}"


@dataclass(frozen=True)
class Example:
    """One sequence. All arrays have shape [positions]; a branch holds the codes of one target after the first.

    `tokens`: vocabulary id, or vocabulary size + code for a code's row. `items`: catalogue index at ITEM and soft
    positions, else -1. `slots`: see MASKED, TOKEN, ITEM, FIRST_SOFT. `anchors`: for a branch position the index of the
    position that it continues, else -1. `labels`: what should come next, IGNORE where nothing is learned.
    `interaction_ids`: which of all training interactions a label belongs to, so that a teacher can be asked about it,
    else -1. `overrides`: vectors that stand in this sequence for an item's own: item -> modality -> [width]. `alone`:
    it brings an instruction of its own and does not read the one that the examples of a row share.
    """

    tokens: np.ndarray
    items: np.ndarray
    slots: np.ndarray
    anchors: np.ndarray
    labels: np.ndarray
    interaction_ids: np.ndarray
    writes: bool = False
    overrides: VectorOverrides = field(default_factory=dict)
    alone: bool = False

    def __len__(self) -> int:
        return len(self.tokens)


def unlabelled_example(parts: Sequence[np.ndarray], labels: np.ndarray | None = None, writes: bool = False) -> Example:
    """Return an example of positions (tokens, items, slots) without branches; `labels`: nothing is learned without."""
    tokens, items, slots = parts
    unlabelled = np.full(len(tokens), IGNORE, dtype=np.int64)
    nowhere = np.full(len(tokens), -1, dtype=np.int64)
    return Example(tokens, items, slots, nowhere, unlabelled if labels is None else labels, nowhere, writes)


def word_positions(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tokens, items and slots [positions] of plain token ids."""
    return tokens, np.full(len(tokens), -1, dtype=np.int64), np.full(len(tokens), TOKEN, dtype=np.int64)


def join_positions(*parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the positions (tokens, items, slots) of parts, one behind the other."""
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
