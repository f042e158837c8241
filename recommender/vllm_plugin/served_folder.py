"""The part of an exported folder that constrains: which token is which code, and the trie of the items' codes."""

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
FACTS, CODES = "recommender.json", "recommender_codes.npy"
REQUEST = "recommender"
"""Name of our entry in a request's `extra_args`: {"deny": [items], "only": [items] or null}."""
_KEPT = 256


def write_served(folder: Path, words: int, sizes: Sequence[int], codes: np.ndarray) -> None:
    """Write what `Served.load` reads. `words`: the id of the first code; `codes` [items, levels], from zero a level."""
    facts = {"words": words, "sizes": [int(size) for size in sizes]}
    (folder / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    np.save(folder / CODES, np.ascontiguousarray(codes, dtype=np.int64), allow_pickle=False)


@dataclass(frozen=True)
class Allowed:
    """Which items a request may be shown, as indices."""

    deny: tuple[int, ...] = ()
    only: tuple[int, ...] | None = None

    @classmethod
    def of(cls, extra: Any, items: int) -> Allowed:
        """Read a request's entry. Raises ValueError for what is none."""
        if not isinstance(extra, dict) or set(extra) - {"deny", "only"}:
            raise ValueError(f'{REQUEST}: expected {{"deny": [...], "only": [...]}}')
        lists: dict[str, Any] = {name: extra.get(name) for name in ("deny", "only") if extra.get(name) is not None}
        for name, value in lists.items():
            whole = isinstance(value, list) and all(type(i) is int and 0 <= i < items for i in value)
            if not whole:
                raise ValueError(f"{REQUEST}.{name}: expected item indices from 0 to {items - 1}")
        return cls(tuple(lists.get("deny", ())), tuple(lists["only"]) if "only" in lists else None)


class Served:
    """The trie of a served catalogue in the numbers of the served vocabulary."""

    def __init__(self, words: int, sizes: Sequence[int], codes: np.ndarray) -> None:
        """`words`: the id of the first code token; `codes` [items, levels]."""
        self.codes, self.sizes = codes, tuple(sizes)
        self.trie = Trie.from_codes(codes, self.sizes)
        self.first = words + np.concatenate([[0], np.cumsum(self.sizes)]).astype(int)
        self._alive: OrderedDict[Allowed, Tensor] = OrderedDict()

    @classmethod
    def load(cls, folder: str | Path) -> Served:
        """Read an exported folder."""
        facts = json.loads((Path(folder) / FACTS).read_text(encoding="utf-8"))
        return cls(facts["words"], facts["sizes"], np.load(Path(folder) / CODES, allow_pickle=False))

    def item_token(self, item: int) -> int:
        """Return the token that stands for a whole item of a history."""
        return int(self.first[0] + self.codes[item, 0] if self.levels == 1 else self.first[-1] + item)

    @property
    def levels(self) -> int:
        """Number of codes of an item."""
        return len(self.sizes)

    def level_of(self, token: int) -> int | None:
        """Return the level that a token is a code of."""
        if not self.first[0] <= token < self.first[-1]:
            return None
        return int(np.searchsorted(self.first, token, side="right")) - 1

    def state(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Return the trie state and level after `tokens`; -1 if their last codes begin no item.

        Derived from token ids alone: a beam search sends what it has generated as part of the next prompt. Where codes
        are items, a history consists of codes too, each of them whole.
        """
        open_codes: list[int] = []
        for token in reversed(tokens[-self.levels :]):
            level = self.level_of(token)
            if level is None or level == self.levels - 1:
                break
            open_codes.insert(0, token - int(self.first[level]))
        state = self.trie.root
        for level, code in enumerate(open_codes):
            codes, following = self.trie.children(torch.tensor([state]), level)
            found = following[codes == code]
            if not len(found):
                return -1, len(open_codes)
            state = int(found[0])
        return state, len(open_codes)

    def alive(self, allowed: Allowed) -> Tensor:
        """Return bool [states]: which states lead to an allowed item; the last few are kept."""
        if allowed not in self._alive:
            items = torch.full((1, self.trie.items), allowed.only is None)
            if allowed.only is not None:
                items[0, list(allowed.only)] = True
            items[0, list(allowed.deny)] = False
            self._alive[allowed] = self.trie.alive(items)[0]
            while len(self._alive) > _KEPT:
                self._alive.popitem(last=False)
        self._alive.move_to_end(allowed)
        return self._alive[allowed]

    def constrain(self, logits: Tensor, tokens: Sequence[int], allowed: Allowed) -> None:
        """Replace a row of logits [vocabulary] by log-probabilities over the level's codes at what may follow, else -inf.

        Log-softmax over all codes of the level first, then the trie: scores do not depend on what is allowed.
        """
        state, level = self.state(tokens)
        first, end = int(self.first[level]), int(self.first[level + 1])
        logp = torch.log_softmax(logits[first:end].float(), -1)
        logits.fill_(-torch.inf)
        if state < 0:
            return
        codes, following = (part[0] for part in self.trie.children(torch.tensor([state]), level))
        chosen = codes[(following >= 0) & self.alive(allowed)[following.clamp_min(0)]]
        logits[first + chosen] = logp[chosen].to(logits.dtype)
