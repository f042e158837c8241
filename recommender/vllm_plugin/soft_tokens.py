"""Soft tokens in a served prompt: which kinds of encoder vectors there are, and where a prompt has room for which.

From outside a soft token is a number behind all others: FIRST + item * slots + slot. Inside vLLM it is a placeholder
token, one for each kind, with the encoder's vector beside it. The vectors of the catalogue lie in the served folder. An item
that is no row of the vocabulary keeps its number behind it, which the model looks up in a table of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

ITEM_KIND = "item"
"""The kind that changes the position of a whole item. Its input holds all vectors of the item: the new ones, and those that
its token row was made from."""
ARCHITECTURE, TEXT_ARCHITECTURE = "RecommenderForCausalLM", "RecommenderTextForCausalLM"
"""The model that takes vectors, and the one of a folder without any."""
SECTION = "recommender"
"""The key of `SoftFacts` in config.json."""
VectorsByKind = Mapping[str, Sequence[float]]
Overrides = Mapping[int, Mapping[str, np.ndarray]]
"""Item -> kind -> the vector [width + 1] that stands for the catalogue's in one request."""


def input_name(kind: str) -> str:
    """Return the name of a kind's vectors among the model's inputs."""
    return f"{kind}_vectors"


def vectors_file(kind: str) -> str:
    """Return the name of the file with the catalogue's vectors of a kind; its last column says which items have one."""
    return f"recommender_{kind}.npy"


@dataclass(frozen=True)
class SoftFacts:
    """What a served folder says about soft tokens.

    `base`: the architecture of the language model; `soft`: the width of each kind's vectors, in the order of a prompt;
    `tokens`: soft tokens of each vector; `first`: number of the first soft token; `item_scale`: `base.item_scale` of the
    config; `embedding_scale`: by what the base multiplies rows of words; `first_placeholder`: id of the first placeholder,
    the placeholders being the end of the vocabulary (None: `first`, as in folders of earlier versions); `items`: how many
    items have a table beside the vocabulary, with the numbers from `first_item` on; `parts`: of how many parts a kind's
    vectors consist, each with so many soft tokens (absent: one, as in folders of earlier versions).
    """

    base: str
    soft: dict[str, int]
    tokens: int
    first: int
    item_scale: float
    embedding_scale: float = 1.0
    first_placeholder: int | None = None
    items: int = 0
    first_item: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Any) -> SoftFacts:
        """Read a config of `transformers`."""
        return cls(**getattr(config, SECTION))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return all kinds of vectors that a request can bring."""
        return (*self.soft, ITEM_KIND) if self.soft else ()

    def shape(self, kind: str) -> tuple[int, int]:
        """Return the shape of one input: a vector, and 1 if there is one, else 0; for an item the new and the old ones."""
        if kind == ITEM_KIND:
            return 2, sum(width + 1 for width in self.soft.values())
        return 1, self.soft[kind] + 1

    def slots(self, kind: str) -> int:
        """Return how many positions one input fills."""
        return 1 if kind == ITEM_KIND else self.tokens * self.parts.get(kind, 1)

    def placeholder(self, kind: str) -> int:
        """Return the token that stands in the place of a kind's soft tokens."""
        first = self.first if self.first_placeholder is None else self.first_placeholder
        return first + list(self.soft).index(kind)

    def are_items(self, ids: Tensor) -> Tensor:
        """Return which ids [positions] stand in the table of items, bool of the same shape."""
        return (ids >= self.first_item) & (ids < self.first_item + self.items)


NO_SOFT_TOKENS = SoftFacts("", {}, 1, 1 << 62, 1.0)
"""The facts of a folder without soft tokens."""


@dataclass(frozen=True)
class SoftTokenPlace:
    """A place in a prompt and the vector for it. `name`: the key of the vector in vLLM's caches."""

    kind: str
    offset: int
    vector: np.ndarray
    name: str


class SoftTokens:
    """The vectors of the served catalogue; puts placeholders and vectors in the place of a prompt's soft tokens."""

    def __init__(self, facts: SoftFacts, vectors: Mapping[str, np.ndarray]) -> None:
        """`vectors`: of each kind [items, width + 1], the last column 1 where an item has one."""
        self.facts, self.vectors = facts, vectors

    @classmethod
    def open(cls, folder: str | Path) -> SoftTokens:
        """Map the vectors of an exported folder into memory. A folder may have none."""
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        facts = SoftFacts(**config[SECTION]) if SECTION in config else NO_SOFT_TOKENS
        if facts is NO_SOFT_TOKENS and "vocab_size" in config:
            facts = replace(facts, first=config["vocab_size"])
        return cls(facts, {kind: np.load(Path(folder) / vectors_file(kind), mmap_mode="r") for kind in facts.soft})

    def checked(self, vectors: Mapping[int, VectorsByKind], items: int) -> dict[int, dict[str, np.ndarray]]:
        """Return the vectors [width + 1] that a request brings for items. Raises ValueError for those that do not fit."""
        overrides: dict[int, dict[str, np.ndarray]] = {}
        for item, kinds in vectors.items():
            if not 0 <= item < items:
                raise ValueError(f"vectors: {item} is no item index from 0 to {items - 1}")
            for kind, vector in kinds.items():
                width = self.facts.soft.get(kind)
                row = np.asarray([*vector, 1], np.float32)
                if width is None or len(row) != width + 1 or not np.isfinite(row).all():
                    raise ValueError(f"vectors: {kind}: expected {width} numbers; there are {dict(self.facts.soft)}")
                overrides.setdefault(item, {})[kind] = row
        return overrides

    def with_placeholders(
        self, ids: Sequence[int], overrides: Overrides, item_tokens: Mapping[int, int]
    ) -> tuple[list[int], list[SoftTokenPlace]]:
        """Return a prompt's token ids with placeholders, and the vectors for them.

        `item_tokens`: the token of each item in `overrides`. Raises ValueError for incomplete soft tokens and for what is no
        token: vLLM does not look.
        """
        tokens, places = list(ids), []
        if ids and min(ids) < 0:
            raise ValueError(f"ids: {min(ids)} is no token")
        changed_items = {token: item for item, token in item_tokens.items()}
        for offset, token in enumerate(ids):
            if token >= self.facts.first:
                kind, item, slot = self._soft_token(token)
                tokens[offset] = self.facts.placeholder(kind)
                self._check_complete(ids, offset, slot, self.facts.slots(kind))
                if slot == 0:
                    places.append(self._soft_place(kind, item, offset, overrides))
            elif token in changed_items:
                item = changed_items[token]
                places.append(self._item_place(item, offset, overrides[item]))
        return tokens, places

    def _soft_token(self, token: int) -> tuple[str, int, int]:
        """Return the kind, the item and the slot of a soft token. Raises ValueError if there is no such item."""
        slots = [(kind, slot) for kind in self.facts.soft for slot in range(self.facts.slots(kind))]
        if not slots:
            raise ValueError(f"ids: {token} is no token")
        item, position = divmod(token - self.facts.first, len(slots))
        kind, slot = slots[position]
        if item >= len(self.vectors[kind]):
            raise ValueError(f"ids: {token} is no token")
        return kind, item, slot

    def _check_complete(self, ids: Sequence[int], offset: int, slot: int, count: int) -> None:
        """Raise ValueError if the soft tokens of a vector do not stand together, in order."""
        token = ids[offset]
        if slot and (offset == 0 or ids[offset - 1] != token - 1):
            raise ValueError(f"ids: the soft tokens before {token} are missing")
        if slot == 0 and list(ids[offset : offset + count]) != list(range(token, token + count)):
            raise ValueError(f"ids: the soft tokens after {token} are missing")

    def _soft_place(self, kind: str, item: int, offset: int, overrides: Overrides) -> SoftTokenPlace:
        override = overrides.get(item, {}).get(kind)
        if override is not None:
            return SoftTokenPlace(kind, offset, override[None], _hashed_name(kind, override))
        return SoftTokenPlace(kind, offset, self.vectors[kind][item][None], f"{kind}-{item}")

    def pair(self, item: int, override: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return all vectors of an item as a request has them, and as the catalogue has them [2, widths]."""
        old = {kind: self.vectors[kind][item].astype(np.float32) for kind in self.facts.soft}
        new = old | dict(override)
        return np.stack([np.concatenate(list(new.values())), np.concatenate(list(old.values()))])

    def _item_place(self, item: int, offset: int, override: Mapping[str, np.ndarray]) -> SoftTokenPlace:
        pair = self.pair(item, override)
        return SoftTokenPlace(ITEM_KIND, offset, pair, _hashed_name(ITEM_KIND, pair))


def _hashed_name(kind: str, vector: np.ndarray) -> str:
    return f"{kind}-{hashlib.sha256(np.ascontiguousarray(vector, np.float32).tobytes()).hexdigest()}"
