"""Soft tokens in a served prompt: which kinds of vectors there are, and where a prompt has slots for which.

To the outside a soft token is a number behind the vocabulary: FIRST + item * slots + slot. Inside vLLM it is a placeholder
token, one for each kind, with the encoder's vector beside it; the vectors of the catalogue lie in the served folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ITEM_KIND = "item"
"""The kind that changes the position of a whole item: all its vectors, new ones and those that its row was made from."""
ARCHITECTURE = "RecommenderForCausalLM"
SECTION = "recommender"
"""Where these facts lie in config.json."""
Given = Mapping[str, Sequence[float]]


def field(kind: str) -> str:
    """Return the name of a kind's vectors among the model's inputs."""
    return f"{kind}_vectors"


def vectors_file(kind: str) -> str:
    """Return the name of the file of the catalogue's vectors of a kind; the last column says which items have one."""
    return f"recommender_{kind}.npy"


@dataclass(frozen=True)
class SoftFacts:
    """What a served folder says of soft tokens. `base`: the architecture of the language model; `soft`: width of each
    kind's vectors, in the order of a prompt; `tokens`: slots of each; `first`: id of the first placeholder, behind which
    lies nothing of the vocabulary but placeholders; `item_scale`: see `base.item_scale`."""

    base: str
    soft: dict[str, int]
    tokens: int
    first: int
    item_scale: float

    @classmethod
    def of(cls, config: Any) -> SoftFacts:
        """Read a config of `transformers`."""
        return cls(**getattr(config, SECTION))

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of vectors that a request can bring."""
        return (*self.soft, ITEM_KIND) if self.soft else ()

    def shape(self, kind: str) -> tuple[int, int]:
        """Return the shape of one input: a vector and whether there is one; for an item all of them, new and old."""
        if kind == ITEM_KIND:
            return 2, sum(width + 1 for width in self.soft.values())
        return 1, self.soft[kind] + 1

    def slots(self, kind: str) -> int:
        """Return how many positions one input fills."""
        return 1 if kind == ITEM_KIND else self.tokens

    def placeholder(self, kind: str) -> int:
        """Return the token that holds the place of a kind's soft tokens."""
        return self.first + list(self.soft).index(kind)


NONE = SoftFacts("", {}, 1, 1 << 62, 1.0)
"""A folder without soft tokens."""


@dataclass(frozen=True)
class SoftTokenPlace:
    """Where a prompt has room for one vector. `name`: the same for the same vector, for vLLM's caches."""

    kind: str
    offset: int
    vector: np.ndarray
    name: str


class SoftTokens:
    """The vectors of the served catalogue, and how prompts that name them become prompts that vLLM takes."""

    def __init__(self, facts: SoftFacts, vectors: Mapping[str, np.ndarray]) -> None:
        """`vectors`: for each kind [items, width + 1]."""
        self.facts, self.vectors = facts, vectors

    @classmethod
    def open(cls, folder: str | Path) -> SoftTokens:
        """Open the vectors of an exported folder; they are read where they are asked for. A folder may have none."""
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        facts = SoftFacts(**config[SECTION]) if SECTION in config else NONE
        return cls(facts, {kind: np.load(Path(folder) / vectors_file(kind), mmap_mode="r") for kind in facts.soft})

    def checked(self, given: Mapping[int, Given], items: int) -> dict[int, dict[str, np.ndarray]]:
        """Return the vectors [width + 1] that a request has for items. Raises ValueError for what is none."""
        found: dict[int, dict[str, np.ndarray]] = {}
        for item, kinds in given.items():
            if not 0 <= item < items:
                raise ValueError(f"vectors: {item} is no item index from 0 to {items - 1}")
            for kind, vector in kinds.items():
                width = self.facts.soft.get(kind)
                row = np.asarray([*vector, 1], np.float32)
                if width is None or len(row) != width + 1 or not np.isfinite(row).all():
                    raise ValueError(f"vectors: {kind}: expected {width} numbers; there are {dict(self.facts.soft)}")
                found.setdefault(item, {})[kind] = row
        return found

    def placed(
        self, ids: Sequence[int], given: Mapping[int, Mapping[str, np.ndarray]], item_tokens: Mapping[int, int]
    ) -> tuple[list[int], list[SoftTokenPlace]]:
        """Return a prompt with placeholders, and the vectors for them.

        `item_tokens`: the token of each item in `given`. Raises ValueError for soft tokens that are not whole.
        """
        tokens, places = list(ids), []
        changed = {token: item for item, token in item_tokens.items()}
        for offset, token in enumerate(ids):
            if token >= self.facts.first:
                places += self._soft(tokens, ids, offset, given)
            elif token in changed:
                places.append(self._item(changed[token], offset, given[changed[token]]))
        return tokens, places

    def _soft(
        self, tokens: list[int], ids: Sequence[int], offset: int, given: Mapping[int, Mapping[str, np.ndarray]]
    ) -> list[SoftTokenPlace]:
        """Put a placeholder into a soft token's place; the first one of a vector brings it along."""
        kinds, each = list(self.facts.soft), self.facts.tokens
        item, slot = divmod(ids[offset] - self.facts.first, len(kinds) * each)
        kind = kinds[slot // each]
        if item >= len(self.vectors[kind]):
            raise ValueError(f"ids: {ids[offset]} is no token")
        tokens[offset] = self.facts.placeholder(kind)
        if slot % each:
            if offset == 0 or ids[offset - 1] != ids[offset] - 1:
                raise ValueError(f"ids: the soft tokens before {ids[offset]} are missing")
            return []
        if list(ids[offset : offset + each]) != list(range(ids[offset], ids[offset] + each)):
            raise ValueError(f"ids: the soft tokens after {ids[offset]} are missing")
        own = given.get(item, {}).get(kind)
        vector = self.vectors[kind][item] if own is None else own
        return [SoftTokenPlace(kind, offset, vector[None], f"{kind}-{item}" if own is None else _name(kind, own))]

    def _item(self, item: int, offset: int, own: Mapping[str, np.ndarray]) -> SoftTokenPlace:
        old = {kind: self.vectors[kind][item].astype(np.float32) for kind in self.facts.soft}
        pair = np.stack([np.concatenate(list((old | dict(own)).values())), np.concatenate(list(old.values()))])
        return SoftTokenPlace(ITEM_KIND, offset, pair, _name(ITEM_KIND, pair))


def _name(kind: str, vector: np.ndarray) -> str:
    return f"{kind}-{hashlib.sha256(np.ascontiguousarray(vector, np.float32).tobytes()).hexdigest()}"
