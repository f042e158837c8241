"""The part of an exported folder that constrains ranking: which token is which code, and the trie of the items' codes."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.constraints import Mask, Trie

#: not safetensors: vLLM reads every such file of a folder as weights
FACTS_FILE, CODES_FILE = "recommender.json", "recommender_codes.npy"
#: what is added to the score of each code, where a folder has it: float32 [codes]
OFFSETS_FILE = "recommender_offsets.npy"
#: the memory of transitions, where the model has one
MEMORY_FILE = "recommender_memory.npz"
EXTRA_ARGS_KEY = "recommender"
"""Name of our entry in a request's `extra_args`: {"deny": [items], "only": [items] or null}, or {"bits": bytes}."""
MEMORY_KEY = "recommender_memory"
"""Name of the entry that says what a request's own vectors change in the memory: `ServedMemory.change` as bytes."""
#: more items than that are no list in a request, but a bit for each that there is
LISTED = 1024
#: masks that are cached: most, as many as so many bytes hold if each is a table of all states, and least
_CACHED_MASKS, _CACHED_BYTES, _LEAST_CACHED = 256, 1 << 28, 16


def write_served(
    folder: Path, first_code: int, sizes: Sequence[int], codes: np.ndarray, first_item: int | None = None
) -> None:
    """Write what `Served.load` reads.

    `first_code`: the token id of the first code; `sizes`: codes of each level; `codes` [items, levels], from zero in each
    level; `first_item`: the id of the first item that is no code, None: it stands behind the codes.
    """
    facts: dict[str, Any] = {"words": first_code, "sizes": [int(size) for size in sizes]}
    if first_item is not None:
        facts["first_item"] = first_item
    (folder / FACTS_FILE).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    np.save(folder / CODES_FILE, np.ascontiguousarray(codes, dtype=np.int64), allow_pickle=False)


@dataclass(frozen=True)
class ServedMemory:
    """What `ItemMemory` adds to the scores of items, from the token ids of a prompt and what its own vectors change.

    `rows` [codes, hidden]: the items' vectors around their centre, which is the same for all and so scores none of them;
    `weights` [length]: of the last item, the one before it, and so on; `follow` [hidden, hidden].
    """

    rows: Tensor
    weights: Tensor
    follow: Tensor

    @classmethod
    def load(cls, folder: Path) -> ServedMemory | None:
        """Read an exported folder; None if its model has no memory."""
        if not (folder / MEMORY_FILE).is_file():
            return None
        with np.load(folder / MEMORY_FILE, allow_pickle=False) as arrays:
            return cls(*(torch.from_numpy(arrays[name]) for name in ("rows", "weights", "follow")))

    def save(self, folder: Path) -> None:
        """Write what `load` reads."""
        arrays = {name: getattr(self, name).cpu().numpy() for name in ("rows", "weights", "follow")}
        np.savez(folder / MEMORY_FILE, **arrays)

    def scores(self, codes: Sequence[int], change: Tensor | None = None) -> Tensor:
        """Return what is added to the score of each code [codes], after a history of codes, oldest first.

        `change` [hidden]: that of the request's own vectors. The scored items keep the vectors of the catalogue.
        """
        latest = torch.tensor(self._latest(codes), dtype=torch.long)
        read = self.weights[: len(latest)] @ self.rows[latest]
        return ((read if change is None else read + change) @ self.follow) @ self.rows.T

    def change(self, codes: Sequence[int], changes: Mapping[int, Tensor]) -> Tensor:
        """Return what other vectors change in what is read after a history of codes [hidden].

        `changes`: code -> what the vector of its item becomes more by [hidden].
        """
        read = torch.zeros(self.rows.shape[1])
        for weight, code in zip(self.weights, self._latest(codes), strict=False):
            if code in changes:
                read += weight * changes[code]
        return read

    def change_of(self, entry: bytes) -> Tensor:
        """Read the entry `MEMORY_KEY` of a request. Raises ValueError for one that is not as long as a vector."""
        if len(entry) != 4 * self.rows.shape[1]:
            raise ValueError(f"{MEMORY_KEY}: expected {self.rows.shape[1]} float32 numbers")
        return torch.frombuffer(bytearray(entry), dtype=torch.float32)

    def _latest(self, codes: Sequence[int]) -> list[int]:
        return list(codes)[::-1][: len(self.weights)]


@dataclass(frozen=True)
class Allowed:
    """Which items a request may be shown, as indices: `only` these, or all if it is None, but none of `deny`.

    `bits`: all of this as one bit an item, instead of lists that would be long.
    """

    deny: tuple[int, ...] = ()
    only: tuple[int, ...] | None = None
    bits: bytes | None = None

    @classmethod
    def of(cls, entry: Any, items: int | None) -> Allowed:
        """Read a request's entry in `extra_args`; `items`: how many there are, if that is known.

        Raises ValueError for a wrong one.
        """
        if not isinstance(entry, dict) or set(entry) - {"deny", "only", "bits"}:
            raise ValueError(f'{EXTRA_ARGS_KEY}: expected {{"deny": [...], "only": [...]}}')
        if (bits := entry.get("bits")) is not None:
            if not isinstance(bits, bytes) or (items is not None and len(bits) != -(-items // 8)) or len(entry) > 1:
                raise ValueError(f"{EXTRA_ARGS_KEY}.bits: expected a bit for each item, and nothing else")
            return cls(bits=bits)
        lists: dict[str, Any] = {name: entry[name] for name in ("deny", "only") if entry.get(name) is not None}
        for name, indices in lists.items():
            if not isinstance(indices, list) or not all(type(i) is int and i >= 0 for i in indices):
                raise ValueError(f"{EXTRA_ARGS_KEY}.{name}: expected item indices from 0 on")
            if items is not None and max(indices, default=0) >= items:
                raise ValueError(f"{EXTRA_ARGS_KEY}.{name}: expected item indices from 0 to {items - 1}")
        return cls(tuple(lists.get("deny", ())), tuple(lists["only"]) if "only" in lists else None)

    def entry(self, items: int) -> dict[str, Any]:
        """Return what `of` reads, in its shortest form: it becomes a part of every beam's request."""
        if self.bits is not None:
            return {"bits": self.bits}
        if len(self.deny) + len(self.only or ()) > LISTED:
            return {"bits": np.packbits(self.table(items)).tobytes()}
        return {"deny": list(self.deny), "only": None if self.only is None else list(self.only)}

    def table(self, items: int) -> np.ndarray:
        """Return which of so many items may be shown, bool [items]."""
        if self.bits is not None:
            return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=items).astype(bool)
        table = np.full(items, self.only is None)
        if self.only is not None:
            table[list(self.only)] = True
        table[list(self.deny)] = False
        return table

    def none_of(self, items: int) -> bool:
        """Whether none of so many items may be shown."""
        if self.bits is not None:
            return not self.table(items).any()  # bits behind the last item say nothing
        if self.only is not None:
            return set(self.only) <= set(self.deny)
        return len(set(self.deny)) == items


class Served:
    """The trie of a served catalogue, in the token ids of the served vocabulary."""

    def __init__(
        self,
        first_code: int,
        sizes: Sequence[int],
        codes: np.ndarray,
        offsets: np.ndarray | None = None,
        first_item: int | None = None,
        memory: ServedMemory | None = None,
    ) -> None:
        """`first_code`: the token id of the first code; `sizes`: codes of each level; `codes` [items, levels].

        `offsets` [codes]: added to the scores of codes, numbered through all levels; `first_item`: see `write_served`;
        `memory`: where each item has one code.
        """
        self.memory = memory
        self.codes, self.sizes = codes, tuple(sizes)
        self.offsets = None if offsets is None else torch.from_numpy(offsets)
        self.trie = Trie.from_codes(codes, self.sizes)
        #: the first token of each level [levels + 1]; the last entry is the first token behind the codes
        self.level_starts = first_code + np.concatenate([[0], np.cumsum(self.sizes)]).astype(int)
        self.first_item = int(self.level_starts[-1]) if first_item is None else first_item
        self._masks: OrderedDict[Allowed, Mask | None] = OrderedDict()

    @classmethod
    def load(cls, folder: str | Path) -> Served:
        """Read an exported folder."""
        facts = _facts(folder)
        codes, added = np.load(Path(folder) / CODES_FILE, allow_pickle=False), Path(folder) / OFFSETS_FILE
        offsets = np.load(added, allow_pickle=False) if added.is_file() else None
        memory = ServedMemory.load(Path(folder))
        return cls(facts["words"], facts["sizes"], codes, offsets, facts.get("first_item"), memory)

    def item_token(self, item: int) -> int:
        """Return the token that stands for a whole item in a history."""
        starts = self.level_starts
        return int(starts[0] + self.codes[item, 0] if self.levels == 1 else self.first_item + item)

    def items_of(self, tokens: Sequence[Sequence[int]]) -> list[int]:
        """Return the items of whole beams, each a token a level. Raises RuntimeError for codes of no item."""
        if not tokens:
            return []
        flat = np.fromiter((token for beam in tokens for token in beam), np.int64, self.levels * len(tokens))
        codes = flat.reshape(-1, self.levels) - self.level_starts[:-1]
        items: list[int] = self.trie.items_with(torch.from_numpy(codes)).tolist()
        if min(items) < 0:
            raise RuntimeError("vLLM chose codes of no item: its server was started without our logits processor")
        return items

    @property
    def levels(self) -> int:
        """Number of codes of an item."""
        return len(self.sizes)

    @property
    def needed(self) -> slice:
        """Which tokens of a prompt `constrain` must be told: the last ones, or all of them for a memory."""
        return slice(-self.levels, None) if self.memory is None else slice(None)

    def level_of(self, token: int) -> int | None:
        """Return the level that a token is a code of, or None if it is no code."""
        if not self.level_starts[0] <= token < self.level_starts[-1]:
            return None
        return int(np.searchsorted(self.level_starts, token, side="right")) - 1

    def state(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Return the trie state after `tokens` and the level of the next code; the state is -1 if no item begins so.

        Derived from token ids alone: a beam search sends what it has generated as part of the next prompt. Where one code
        is an item, a history consists of codes too, each of them whole.
        """
        codes = self._open_codes(tokens)
        if codes is None:
            return -1, 0
        state = self.trie.root
        for code in codes:
            state = self.trie.child(state, code)
            if state < 0:
                break
        return state, len(codes)

    def _open_codes(self, tokens: Sequence[int]) -> list[int] | None:
        """Return the codes at the end of `tokens` that are the beginning of an item; None if their levels begin none."""
        levels: list[int] = []
        codes: list[int] = []
        for token in tokens[-self.levels :][::-1]:
            level = self.level_of(token)
            if level is None or level == self.levels - 1:
                break
            levels.insert(0, level)
            codes.insert(0, token - int(self.level_starts[level]))
        return codes if levels == list(range(len(levels))) else None

    def mask(self, allowed: Allowed) -> Mask | None:
        """Return which states lead to an allowed item, None if all do. The most recent results are cached.

        With few items denied, as those of a history, it costs what these cost, whatever the size of the catalogue.
        """
        if allowed not in self._masks:
            self._masks[allowed] = self.trie.mask(torch.from_numpy(allowed.table(self.trie.items))[None])
            while len(self._masks) > max(_LEAST_CACHED, min(_CACHED_MASKS, _CACHED_BYTES // self.trie.states)):
                self._masks.popitem(last=False)
        self._masks.move_to_end(allowed)
        return self._masks[allowed]

    def history_codes(self, tokens: Sequence[int]) -> list[int]:
        """Return the codes among the tokens of a prompt, where each item has one."""
        start, end = int(self.level_starts[0]), int(self.level_starts[1])
        return [token - start for token in tokens if start <= token < end]

    def constrain(self, logits: Tensor, tokens: Sequence[int], allowed: Allowed, change: Tensor | None = None) -> None:
        """Replace a row of logits [vocabulary] by log-probabilities over the level's codes, and by -inf where the trie ends.

        `tokens`: the prompt and what follows it; `needed` of them are enough. `change`: as in `ServedMemory.scores`.
        Log-softmax over all codes of the level first, then the trie: scores do not depend on what is allowed.
        """
        state, level = self.state(tokens)
        if state < 0:
            logits.fill_(-torch.inf)
            return
        start, end = int(self.level_starts[level]), int(self.level_starts[level + 1])
        scores = logits[start:end].float()
        if self.offsets is not None:
            first = int(self.level_starts[0])
            scores = scores + self.offsets[start - first : end - first].to(scores.device)
        if self.memory is not None:
            scores = scores + self.memory.scores(self.history_codes(tokens), change).to(scores.device)
        log_probs = torch.log_softmax(scores, -1)
        logits.fill_(-torch.inf)
        children, mask = self.trie.child_range(state), self.mask(allowed)
        alive = None if mask is None else mask.alive_from(*children)[0].to(logits.device)
        if children[1] - children[0] == end - start:  # every code, in order
            kept = log_probs if alive is None else log_probs.masked_fill(~alive, -torch.inf)
            logits[start:end] = kept.to(logits.dtype)
            return
        codes = self.trie.table.code[slice(*children)].to(logits.device).long()
        codes = codes if alive is None else codes[alive]
        logits[start + codes] = log_probs[codes].to(logits.dtype)


def served_levels(folder: str | Path) -> int:
    """Return the number of codes of an item, without reading its trie."""
    return len(_facts(folder)["sizes"])


def _facts(folder: str | Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((Path(folder) / FACTS_FILE).read_text(encoding="utf-8"))
    return facts
