"""The part of an exported folder that constrains ranking: which token is which code, and the trie of the items' codes."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.constraints import Trie

#: not safetensors: vLLM reads every such file of a folder as weights
FACTS_FILE, CODES_FILE = "recommender.json", "recommender_codes.npy"
#: what is added to the score of each code, where a folder has it: float32 [codes]
OFFSETS_FILE = "recommender_offsets.npy"
EXTRA_ARGS_KEY = "recommender"
"""Name of our entry in a request's `extra_args`: {"deny": [items], "only": [items] or null}."""
_CACHED_MASKS = 256


def write_served(folder: Path, first_code: int, sizes: Sequence[int], codes: np.ndarray) -> None:
    """Write what `Served.load` reads.

    `first_code`: the token id of the first code; `sizes`: codes of each level; `codes` [items, levels], from zero in each
    level.
    """
    facts = {"words": first_code, "sizes": [int(size) for size in sizes]}
    (folder / FACTS_FILE).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    np.save(folder / CODES_FILE, np.ascontiguousarray(codes, dtype=np.int64), allow_pickle=False)


@dataclass(frozen=True)
class Allowed:
    """Which items a request may be shown, as indices: `only` these, or all if it is None, but none of `deny`."""

    deny: tuple[int, ...] = ()
    only: tuple[int, ...] | None = None

    @classmethod
    def of(cls, entry: Any, items: int) -> Allowed:
        """Read a request's entry in `extra_args`; `items`: how many there are. Raises ValueError for a wrong one."""
        if not isinstance(entry, dict) or set(entry) - {"deny", "only"}:
            raise ValueError(f'{EXTRA_ARGS_KEY}: expected {{"deny": [...], "only": [...]}}')
        lists: dict[str, Any] = {name: entry[name] for name in ("deny", "only") if entry.get(name) is not None}
        for name, indices in lists.items():
            if not isinstance(indices, list) or not all(type(i) is int and 0 <= i < items for i in indices):
                raise ValueError(f"{EXTRA_ARGS_KEY}.{name}: expected item indices from 0 to {items - 1}")
        return cls(tuple(lists.get("deny", ())), tuple(lists["only"]) if "only" in lists else None)

    def none_of(self, items: int) -> bool:
        """Whether none of so many items may be shown."""
        if self.only is not None:
            return set(self.only) <= set(self.deny)
        return len(set(self.deny)) == items


class Served:
    """The trie of a served catalogue, in the token ids of the served vocabulary."""

    def __init__(
        self, first_code: int, sizes: Sequence[int], codes: np.ndarray, offsets: np.ndarray | None = None
    ) -> None:
        """`first_code`: the token id of the first code; `sizes`: codes of each level; `codes` [items, levels].

        `offsets` [codes]: added to the scores of codes, numbered through all levels.
        """
        self.codes, self.sizes = codes, tuple(sizes)
        self.offsets = None if offsets is None else torch.from_numpy(offsets)
        self.trie = Trie.from_codes(codes, self.sizes)
        #: the first token of each level [levels + 1]; the last entry is the first token behind the codes
        self.level_starts = first_code + np.concatenate([[0], np.cumsum(self.sizes)]).astype(int)
        self._live_states: OrderedDict[Allowed, Tensor] = OrderedDict()

    @classmethod
    def load(cls, folder: str | Path) -> Served:
        """Read an exported folder."""
        facts = json.loads((Path(folder) / FACTS_FILE).read_text(encoding="utf-8"))
        codes, added = np.load(Path(folder) / CODES_FILE, allow_pickle=False), Path(folder) / OFFSETS_FILE
        offsets = np.load(added, allow_pickle=False) if added.is_file() else None
        return cls(facts["words"], facts["sizes"], codes, offsets)

    def item_token(self, item: int) -> int:
        """Return the token that stands for a whole item in a history."""
        starts = self.level_starts
        return int(starts[0] + self.codes[item, 0] if self.levels == 1 else starts[-1] + item)

    @property
    def levels(self) -> int:
        """Number of codes of an item."""
        return len(self.sizes)

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
        for level, code in enumerate(codes):
            children, states = self.trie.children(torch.tensor([state]), level)
            matching = states[children == code]
            if not len(matching):
                return -1, len(codes)
            state = int(matching[0])
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

    def live_states(self, allowed: Allowed) -> Tensor:
        """Return bool [states]: which states lead to an allowed item. The most recent results are cached."""
        if allowed not in self._live_states:
            items = torch.full((1, self.trie.items), allowed.only is None)
            if allowed.only is not None:
                items[0, list(allowed.only)] = True
            items[0, list(allowed.deny)] = False
            self._live_states[allowed] = self.trie.alive(items)[0]
            while len(self._live_states) > _CACHED_MASKS:
                self._live_states.popitem(last=False)
        self._live_states.move_to_end(allowed)
        return self._live_states[allowed]

    def constrain(self, logits: Tensor, tokens: Sequence[int], allowed: Allowed) -> None:
        """Replace a row of logits [vocabulary] by log-probabilities over the level's codes, and by -inf where the trie ends.

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
        log_probs = torch.log_softmax(scores, -1)
        logits.fill_(-torch.inf)
        children, states = (part[0] for part in self.trie.children(torch.tensor([state]), level))
        codes = children[(states >= 0) & self.live_states(allowed)[states.clamp_min(0)]]
        logits[start + codes] = log_probs[codes].to(logits.dtype)
