"""Histories, catalogue and prompts -> arrays of token ids, item positions, soft-token slots and labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from recommender import prompts
from recommender.config import Modality, PromptConfig
from recommender.data.catalogue import Catalogue
from recommender.errors import RecommenderError
from recommender.semantic_ids.codes import SemanticIds

IGNORE = -100
Given = Mapping[int, Mapping[Modality, np.ndarray]]
#: What stands at a position: a token of the vocabulary or of the codes, an item (its row summed with its projected
#: vectors), an item of a history that must not be read, or the j-th soft token of modality m:
#: FIRST_SOFT + m * soft_tokens + j.
MASKED, TOKEN, ITEM, FIRST_SOFT = -1, 0, 1, 2
#: segments of a packed row: 0 is the shared instruction, 1, 2, ... read it, padding is -1, those below do not read it
PADDED = -1
GROUP = 128
"""Positions of short examples that attend together: smaller groups save little and cost calls."""

# Private-use characters: `clean` removes them from every text, so no title can forge an item.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKER = re.compile(f"{_OPEN}([0-9]+):([0-9]+){_CLOSE}")
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
    position that it continues, else -1. `labels`: what should come next, IGNORE where nothing is learned. `places`: which
    of all training interactions a label belongs to, so that a teacher can be asked about it, else -1. `given`: vectors that
    stand in this sequence for an item's own: item -> modality -> [width]. `alone`: it brings an instruction of its own and
    does not read the one that the examples of a row share.
    """

    tokens: np.ndarray
    items: np.ndarray
    slots: np.ndarray
    anchors: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    writes: bool = False
    given: Given = field(default_factory=dict)
    alone: bool = False

    def __len__(self) -> int:
        return len(self.tokens)


def _example(parts: Sequence[np.ndarray], labels: np.ndarray | None = None, writes: bool = False) -> Example:
    tokens, items, slots = parts
    unlabelled = np.full(len(tokens), IGNORE, dtype=np.int64)
    nowhere = np.full(len(tokens), -1, dtype=np.int64)
    return Example(tokens, items, slots, nowhere, unlabelled if labels is None else labels, nowhere, writes)


class ExampleBuilder:
    """Turn histories and items into examples for one tokenizer, one catalogue and one set of semantic ids."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        vocabulary: int,
        catalogue: Catalogue,
        ids: SemanticIds,
        config: PromptConfig,
        soft_modalities: int,
        window: int | None = None,
    ) -> None:
        """`vocabulary`: size of the language model's vocabulary; code tokens are numbered from there on.

        `window`: positions that the model can read, those of an item's codes among them; None: no limit is known.
        """
        self.tokenizer = tokenizer
        self.catalogue = catalogue
        self.config = config
        self.vocabulary = vocabulary
        self.room = None if window is None else window - ids.levels
        offsets = vocabulary + np.concatenate([[0], np.cumsum(ids.sizes)[:-1]]).astype(np.int64)
        self.code_tokens = ids.codes + offsets[None, :]
        self.soft_slots = range(FIRST_SOFT, FIRST_SOFT + soft_modalities * config.soft_tokens)
        self._titles: dict[int, str] = {}
        head = self.asked(None)
        #: the fixed instruction without its last token, which opens each history of its own
        self.prefix, self.start = head[:-1], head[-1:]

    def wish(self, text: str | None) -> str:
        """Return the user's turn: their wish in words, or the standing question."""
        wish = clean(text, self.tokenizer) if text else None
        return prompts.render_block("rank", "user", wish=wish)

    def asked(self, wish: str | None) -> np.ndarray:
        """Return the token ids [positions] of the instruction with a wish, up to where the history begins."""
        return self.chat(prompts.render_block("rank", "system", noun=self.config.noun), self.wish(wish))

    def chat(self, system: str, user: str) -> np.ndarray:
        """Return the token ids [positions] of a chat up to where the assistant's turn begins.

        Markers in `user` are not resolved here: see `positions`.
        """
        return self.positions(self._chat_text(system, user))[0]

    def _chat_text(self, system: str, user: str) -> str:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return str(text)

    def positions(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokenise a rendered prompt: its words as token ids, its markers as item and soft-token positions."""
        tokens: list[int] = []
        items: list[int] = []
        slots: list[int] = []
        pieces = _MARKER.split(text)
        for words, item, slot in zip(pieces[::3], [*pieces[1::3], None], [*pieces[2::3], None], strict=True):
            ids = self.tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
            tokens += ids
            items += [-1] * len(ids)
            slots += [TOKEN] * len(ids)
            if item is not None and slot is not None:
                tokens.append(0)
                items.append(int(item))
                slots.append(int(slot))
        return np.array(tokens, np.int64), np.array(items, np.int64), np.array(slots, np.int64)

    def title(self, item: int) -> str:
        """Return the cleaned title of an item, cut to its first 80 characters: the prompt's room is dear."""
        if item not in self._titles:
            self._titles[item] = clean(self.catalogue[item].title, self.tokenizer)[:80]
        return self._titles[item]

    def _soft(self, item: int) -> str:
        return "".join(marker(item, slot) for slot in self.soft_slots)

    def history(self, history: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the positions of a history, oldest first: one an item."""
        items = np.asarray(history, dtype=np.int64)
        return np.zeros_like(items), items, np.full(len(items), ITEM, dtype=np.int64)

    def recent(self, items: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the positions that spell items out: title and soft tokens of each."""
        entries = [{"title": self.title(int(i)), "soft": self._soft(int(i))} for i in items]
        return self.positions(prompts.render_block("rank", "recent", entries=entries))

    def prompt(
        self, history: Sequence[int] | np.ndarray, wish: str | None = None, titled: int | None = None
    ) -> Example:
        """Return the whole prompt for one history (it may be empty), cut to the last items that the config and the model's
        window have room for; see `shown`. Raises RecommenderError if there is no room for the rest.
        """
        kept = list(history)[-self.config.history :]
        titled = self.config.titled if titled is None else titled
        head = np.concatenate([self.prefix, self.start]) if wish is None else self.asked(wish)
        parts = _words(head), self.recent(kept[-titled:] if titled else [])
        needed = sum(len(part[0]) for part in parts)
        if self.room is not None and needed + len(kept) > self.room:
            if needed > self.room:
                raise RecommenderError(
                    f"the prompt has {needed} positions without its history, and the model reads {self.room}",
                    "a shorter wish, or less of prompt.titled",
                )
            kept = kept[needed + len(kept) - self.room :]
        return _example(_join(*parts, self.history(kept)))

    @staticmethod
    def shown(prompt: Example) -> int:
        """Return how many items of its history a prompt holds."""
        return int((prompt.slots == ITEM).sum())

    def ranking(
        self,
        history: Sequence[int] | np.ndarray,
        known: int = 0,
        begins: bool = True,
        places: np.ndarray | None = None,
    ) -> Example:
        """Return a training example without the instruction: each position of `history` predicts the next item.

        With `known` > 0 the example begins as a prompt that was made when so many items were known: the last of them are
        spelled out, and only what came after them is learned, for to all before them they would tell the answer.
        `begins`: whether this is the user's first item; if not, nothing predicts it. `places`: which of all training
        interactions each item of `history` is, -1 where a teacher was not asked about it.
        """
        items = np.asarray(history, dtype=np.int64)
        spelled = items[max(known - self.config.titled, 0) : known]
        parts = _join(_words(self.start), self.recent(spelled), self.history(items[:-1]))
        # the first item is predicted where the history starts, any other by the one before it
        anchors = np.append(0, len(parts[0]) - len(items) + 1 + np.arange(len(items) - 1))
        learned = slice(known if begins else max(known, 1), None)
        asked = None if places is None else places[learned]
        return _with_branches(_example(parts), anchors[learned], self.code_tokens[items[learned]], asked)

    def wished(self, history: Sequence[int] | np.ndarray, wish: str, wanted: np.ndarray, known: int = 0) -> Example:
        """Return a training example that begins with a wish in words: only items that meet it are learned.

        `wanted` bool [items of the history]: which meet it, at least one at `known` or behind. `known`: as in `ranking`.
        """
        items, head = np.asarray(history, dtype=np.int64), self.asked(wish)
        parts = _join(
            _words(head),
            self.recent(items[max(known - self.config.titled, 0) : known]),
            self.history(items[:-1]),
        )
        anchors = len(parts[0]) - len(items) + np.arange(len(items))
        learned = known + np.flatnonzero(wanted[known:])
        example = _with_branches(_example(parts), anchors[learned], self.code_tokens[items[learned]])
        return replace(example, alone=True)

    def finding(self, item: int) -> Example:
        """Return an example that asks for an item by its title and expects its codes."""
        user = prompts.render_block("align", "find", title=self.title(item))
        head = self._align_head(user)
        example = _example(_words(head[0]))
        return _with_branches(example, np.array([len(example) - 1]), self.code_tokens[[item]])

    def describing(self, item: int) -> Example:
        """Return an example that shows an item and its soft tokens and expects title and attributes in words."""
        user = prompts.render_block("align", "describe", soft=self._soft(item), item=marker(item))
        facts = [(name, values[:4]) for name, values in list(self.catalogue.facts(item).items())[:4]]
        answer = prompts.render_block("align", "description", title=self.title(item), facts=facts)
        return self._answered(self._align_head(user), clean(answer, self.tokenizer))

    def writing(self, prompt: str, completion: str) -> Example:
        """Return an example of a chat turn: `prompt` by the user, `completion` to be learned."""
        return self._answered(_words(self.chat_turn(prompt)), clean(completion, self.tokenizer))

    def chat_turn(self, prompt: str) -> np.ndarray:
        """Return the token ids of a user's turn with the writing instruction, up to the assistant's turn."""
        return self.chat(prompts.render_block("rank", "system", noun=self.config.noun), clean(prompt, self.tokenizer))

    def _align_head(self, user: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        system = prompts.render_block("align", "system", noun=self.config.noun)
        return self.positions(self._chat_text(system, user))

    def _answered(self, head: tuple[np.ndarray, ...], answer: str) -> Example:
        words = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        body = np.array([*words, end], dtype=np.int64)
        parts = _join(head, _words(body[:-1]))
        labels = np.full(len(parts[0]), IGNORE, dtype=np.int64)
        labels[len(head[0]) - 1 :] = body
        return _example(parts, labels, writes=True)


def _words(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tokens, np.full(len(tokens), -1, dtype=np.int64), np.full(len(tokens), TOKEN, dtype=np.int64)


def _join(*parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _with_branches(
    trunk: Example, anchors: np.ndarray, targets: np.ndarray, places: np.ndarray | None = None
) -> Example:
    """Label each anchor with its target's first code, and hang the codes after it on a branch of their own.

    `anchors` [n], `targets` [n, levels] code tokens, `places` [n] of the targets among all training interactions. A branch
    sees the trunk up to its anchor and itself, as a beam does in decoding, so the history stays one position an item
    whatever the number of levels.
    """
    labels, more = trunk.labels.copy(), targets.shape[1] - 1
    labels[anchors] = targets[:, 0]
    tokens, items, slots = _join((trunk.tokens, trunk.items, trunk.slots), _words(targets[:, :-1].reshape(-1)))
    hung = np.concatenate([trunk.anchors, np.repeat(anchors, more)])
    labels = np.concatenate([labels, targets[:, 1:].reshape(-1)])
    of = np.concatenate([trunk.places, np.full(len(hung) - len(trunk), -1, dtype=np.int64)])
    if places is not None:
        of[anchors], of[len(trunk) :] = places, np.repeat(places, more)
    return Example(tokens, items, slots, hung, labels, of, trunk.writes, alone=trunk.alone)


@dataclass(frozen=True)
class Batch:
    """Packed rows. Integer tensors [rows, positions]; `mask` [rows, 1, positions, positions], True = may attend.

    `ends`: for each row where the instruction ends and where groups of examples do, which no attention crosses but that to
    the instruction; empty where nobody has looked.
    """

    tokens: Tensor
    items: Tensor
    slots: Tensor
    positions: Tensor
    labels: Tensor
    places: Tensor
    mask: Tensor
    writes: bool
    ends: tuple[tuple[int, ...], ...] = ()

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on `device`."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Batch(**moved, writes=self.writes, ends=self.ends)


def pack(examples: Sequence[Example], row_tokens: int, prefix: int = 0) -> list[list[int]]:
    """Fill rows of at most `row_tokens` positions with examples, first fit in the given order; returns indices.

    `prefix`: positions that each row spends on the shared instruction. A longer example has a row of its own.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index, example in enumerate(examples):
        for row in range(max(len(rows) - 8, 0), len(rows)):  # looks back a little: keeps packing linear
            if room[row] >= len(example):
                break
        else:
            rows.append([])
            room.append(row_tokens - prefix)
            row = len(rows) - 1
        rows[row].append(index)
        room[row] -= len(example)
    return rows


def collate(rows: Sequence[Sequence[Example]], prefix: np.ndarray | None = None) -> Batch:
    """Lay rows of examples out as one padded batch; each row begins with the shared `prefix` of token ids."""
    laid = [_lay_out(row, prefix if prefix is not None else np.zeros(0, np.int64)) for row in rows]
    longest = max(len(row[0]) for row in laid)
    fills = (0, -1, TOKEN, 0, IGNORE, -1, PADDED, 0, 0)
    columns = [
        torch.from_numpy(np.stack([np.pad(a, (0, longest - len(a)), constant_values=fill) for a in arrays]))
        for arrays, fill in zip(zip(*laid, strict=True), fills, strict=True)
    ]
    tokens, items, slots, positions, labels, places, segments, anchors, branches = columns
    mask = _attention(segments, anchors, branches)
    size = 0 if prefix is None else len(prefix)
    ends = tuple(_ends(list(map(len, row)), size, longest) for row in rows)
    return Batch(tokens, items, slots, positions, labels, places, mask, rows[0][0].writes, ends)


def _ends(lengths: Sequence[int], prefix: int, longest: int) -> tuple[int, ...]:
    """Return where a row's instruction, its groups of at most `GROUP` positions or one example, and its padding end."""
    ends, at = [prefix], prefix
    for length in lengths:
        if at > ends[-1] and at + length - ends[-1] > GROUP:
            ends.append(at)
        at += length
    return (*ends, *dict.fromkeys((at, longest)))


def _lay_out(row: Sequence[Example], prefix: np.ndarray) -> list[np.ndarray]:
    """Return tokens, items, slots, positions, labels, places, segments, anchors, branches of one row."""
    size = len(prefix)
    ignored = np.full(size, IGNORE, dtype=np.int64)
    zeros = np.zeros(size, dtype=np.int64)
    parts = [[*_words(prefix), np.arange(size), ignored, zeros - 1, zeros, np.arange(size), zeros]]
    for number, example in enumerate(row, start=1):
        offset = sum(len(part[0]) for part in parts)
        trunk = example.anchors < 0
        anchors = np.where(trunk, np.arange(len(example)), example.anchors)
        branches = np.where(trunk, 0, example.anchors + 1)
        segment = np.full(len(example), PADDED - number if example.alone else number, dtype=np.int64)
        positions = (0 if example.alone else size) + anchors + _depths(example.anchors)
        parts.append(
            [
                example.tokens,
                example.items,
                example.slots,
                positions,
                example.labels,
                example.places,
                segment,
                anchors + offset,
                branches,
            ]
        )
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _depths(anchors: np.ndarray) -> np.ndarray:
    """Return for each position how deep in its branch it stands: 0 on the trunk, then 1, 2, ..."""
    starts = np.flatnonzero(np.diff(anchors, prepend=-2))
    runs = np.diff(starts, append=len(anchors))
    return np.where(anchors < 0, 0, np.arange(len(anchors)) - np.repeat(starts, runs) + 1)


def _attention(segments: Tensor, anchors: Tensor, branches: Tensor) -> Tensor:
    """Who may attend to whom [rows, 1, positions, positions]: causal, within the segment or, unless it stands alone, to
    the prefix, and from a branch only to the trunk up to its anchor and to the branch itself."""
    length = segments.shape[1]
    order = torch.arange(length)
    causal = order[:, None] >= order[None, :]
    query, key = segments[:, :, None], segments[:, None, :]
    together = (query == key) | ((key == 0) & (query > 0))
    on_trunk = (branches[:, None, :] == 0) & (order[None, None, :] <= anchors[:, :, None])
    in_branch = (branches[:, None, :] == branches[:, :, None]) & (query == key)
    mask = causal & together & (on_trunk | in_branch)
    # a padded position attends to itself, or its softmax would be NaN
    return (mask | torch.eye(length, dtype=torch.bool))[:, None]


def crops(history: np.ndarray, size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Cut a history into consecutive pieces of `size` items with a random first boundary (they share one item, so
    that every item but the first of the history is predicted from what came before it). `size` counts as 2 at least."""
    size = max(size, 2)
    first = int(generator.integers(max(size // 2, 2), size + 1)) if len(history) > size else size
    start, stop = 0, first
    while True:
        piece = history[start:stop]
        if len(piece) > (1 if start else 0):
            yield piece
        if stop >= len(history):
            return
        start, stop = stop - 1, stop - 1 + size
