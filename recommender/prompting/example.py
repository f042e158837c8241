"""One sequence of the language model as arrays: what is at each position, and which label it predicts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from transformers import PreTrainedTokenizerBase

from recommender.config import Modality

IGNORE = -100
VectorOverrides = Mapping[int, Mapping[Modality, np.ndarray]]
#: Slots, the kinds of positions: an item of a history that is masked, a token of the vocabulary or a code, an item as one
#: position, or the j-th of all soft tokens of an item, one modality behind the other: FIRST_SOFT + j.
MASKED, TOKEN, ITEM, FIRST_SOFT = -1, 0, 1, 2

# Private-use characters mark items in rendered prompts; `clean` removes them from all texts, so none can forge an item.
_OPEN, _CLOSE = "\ue000", "\ue001"
MARKER = re.compile(f"{_OPEN}([0-9]+):([0-9]+){_CLOSE}")
_FORBIDDEN = re.compile("[\ue000-\uf8ff]")


def clean(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Remove from a user's or a catalogue's text what could forge an item marker or a turn of the chat."""
    text, before = _FORBIDDEN.sub("", text), None
    while text != before:  # removing a token may join its surroundings to another one
        before = text
        for token in tokenizer.all_special_tokens:
            text = text.replace(token, "")
    return text


def marker(item: int, slot: int = ITEM) -> str:
    """Return the text that stands for `item` in a rendered prompt until it is tokenised."""
    return f"{_OPEN}{item}:{slot}{_CLOSE}"


@dataclass(frozen=True)
class Example:
    """One sequence. All arrays have shape [positions]. A branch holds the codes of one target after the first.

    `tokens`: vocabulary id, or vocabulary size + code. `items`: catalogue index at ITEM and soft positions, else -1.
    `slots`: see MASKED, TOKEN, ITEM, FIRST_SOFT. `anchors`: for a branch position the index of the position that it
    continues, else -1. `labels`: the next token or code, IGNORE where nothing is learned. `interaction_ids`: which of
    all training interactions a label belongs to, for the teacher, else -1. `writes`: it learns text, not items.
    `overrides`: item -> modality -> vector [width] that replaces the item's own in this sequence. `alone`: it has an
    instruction of its own and does not attend to the one that the examples of a row share. `expected`: of a conversation,
    the likeliest items [n, most] at each of its n labels that are items, in order, their probabilities [n, most], and 1
    where these leave popularity out, else 0 [n].
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
    expected: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.tokens)


def unlabelled_example(parts: Sequence[np.ndarray], labels: np.ndarray | None = None, writes: bool = False) -> Example:
    """Return an example of positions (tokens, items, slots) without branches; without `labels` nothing is learned."""
    tokens, items, slots = parts
    ignored = np.full(len(tokens), IGNORE, dtype=np.int64)
    none = np.full(len(tokens), -1, dtype=np.int64)
    return Example(tokens, items, slots, none, ignored if labels is None else labels, none, writes)


def word_positions(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tokens, items and slots [positions] of plain token ids."""
    return tokens, np.full(len(tokens), -1, dtype=np.int64), np.full(len(tokens), TOKEN, dtype=np.int64)


def join_positions(*parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the positions (tokens, items, slots) of parts, one behind the other."""
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def tokenised(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokenise a rendered prompt; returns token ids, items and slots [positions]: markers become item positions."""
    tokens: list[int] = []
    items: list[int] = []
    slots: list[int] = []
    pieces = MARKER.split(text)
    for words, item, slot in zip(pieces[::3], [*pieces[1::3], None], [*pieces[2::3], None], strict=True):
        ids = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
        tokens += ids
        items += [-1] * len(ids)
        slots += [TOKEN] * len(ids)
        if item is not None and slot is not None:
            tokens.append(0)
            items.append(int(item))
            slots.append(int(slot))
    return np.array(tokens, np.int64), np.array(items, np.int64), np.array(slots, np.int64)
