"""Items as positions of the language model: trained rows of their codes plus projected encoder vectors."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from recommender.adapters.projectors import Projector
from recommender.config import CONTENT_MODALITIES, MODALITIES, SOFT_MODALITIES, Config, Modality
from recommender.encoders.features import Features
from recommender.model.augmenting import Augmenting, Mix
from recommender.model.initialization import initial_rows
from recommender.model.row_window import RowWindow, rows_at
from recommender.prompting.example import FIRST_SOFT, ITEM, VectorOverrides
from recommender.prompting.packing import Batch
from recommender.semantic_ids.codes import SemanticIds

#: items that are embedded together
AT_ONCE = 65_536


class ItemEmbeddings(nn.Module):
    """The part of the network that embeds items; `RecommenderModel` adds the language model.

    An item as one position is the mean of its codes' rows plus its projected vectors. With one level the same sum is
    also the output row of its code, so an item that was never trained on can be ranked from its vectors.
    """

    centre: Tensor
    codes: Tensor
    items_by_code: Tensor
    """Which item has each code, int64 [items]; of one level only."""
    rows: nn.Parameter

    def __init__(self, ids: SemanticIds, config: Config, word_embeddings: Tensor) -> None:
        """`word_embeddings` [vocabulary, hidden] of the language model: items lie around their mean, the centre."""
        super().__init__()
        self.config = config
        self.ids = ids
        self.vocabulary, self.hidden_size = (int(size) for size in word_embeddings.shape)
        self.register_buffer("centre", word_embeddings.mean(0), persistent=False)
        self.offsets = np.concatenate([[0], np.cumsum(ids.sizes)]).astype(int)
        #: by what the base multiplies rows of its table to read them; see `as_input`
        self.embedding_scale = 1.0
        self._off: frozenset[str] = frozenset()
        self._muted: frozenset[str] = frozenset()
        self._muted_items: tuple[int, ...] | None = None
        #: how often the vectors were replaced
        self.features_version = 0
        self._cold_items: Tensor | None = None
        self._views: dict[Modality, tuple[Tensor, Tensor]] = {}
        self._augmenting = Augmenting()
        #: the rows that a training step looks at, where it does not look at all
        self.window: RowWindow | None = None

    def add_items(self, features: Features, spread: float) -> None:
        """Make projectors and rows for the items; `spread`: mean distance of a word's embedding from the centre."""
        self.modalities: tuple[Modality, ...] = tuple(m for m in MODALITIES if m in features.vectors)
        self.soft_modalities = tuple(m for m in SOFT_MODALITIES if m in features.vectors)
        soft_tokens = self.config.prompt.soft_tokens
        self.projectors = nn.ModuleDict(
            {
                m: Projector(features.vectors[m].shape[1], self.hidden_size, soft_tokens, spread / 4, features.parts(m))
                for m in self.modalities
            }
        )
        self.rows = nn.Parameter(initial_rows(self.ids, features, self.hidden_size, spread, self.config.seed))
        self.set_features(features)

    def set_features(self, features: Features) -> None:
        """Replace the items' encoder vectors, e.g. by freshly encoded ones; shapes as at construction."""
        self.features, self.features_version = features, self.features_version + 1
        for m in self.modalities:
            # as they are: of a large catalogue they lie in a file, and are float16
            vectors, present = _shared(features.vectors[m]), torch.from_numpy(features.usable(m))
            self.register_buffer(f"vectors_{m}", vectors.to(self.device), persistent=False)
            self.register_buffer(f"present_{m}", present.to(self.device), persistent=False)
        codes = torch.from_numpy(self.ids.codes + self.offsets[None, :-1])
        self.register_buffer("codes", codes.to(self.device), persistent=False)
        if self.ids.codes.shape[1] == 1:
            items = torch.from_numpy(np.argsort(self.ids.codes[:, 0]))
            self.register_buffer("items_by_code", items.to(self.device), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the parameters live; the token rows of a large catalogue may live elsewhere: `training.rows_device`."""
        return self.centre.device

    @property
    def soft_slots(self) -> int:
        """How many soft tokens an item has, of all its modalities."""
        return sum(len(self.projectors[m].null) for m in self.soft_modalities)

    def soft_start(self, modality: Modality) -> int:
        """Return how many soft tokens of an item stand before those of a modality."""
        before = self.soft_modalities[: self.soft_modalities.index(modality)]
        return sum(len(self.projectors[m].null) for m in before)

    @property
    def off(self) -> frozenset[str]:
        """The modalities that no item has at the moment. See `switched_off`."""
        return self._off

    @property
    def muting(self) -> tuple[frozenset[str], tuple[int, ...] | None]:
        """The modalities that items are read without at the moment, and which items, None: all. See `muted`."""
        return self._muted, self._muted_items

    def item_embeddings(self, items: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return for items [n] their one-position embeddings [n, hidden] and soft tokens [n, soft, hidden].

        With probability `dropout`, independently, an item's rows are dropped or one of its modalities is replaced by the
        modality's null token: the model learns to do without.
        """
        return self.embedded(self._rows_at(self.codes[items]).mean(1), items, dropout)

    def _rows_at(self, codes: Tensor) -> Tensor:
        """Return the rows [..., hidden] of codes [...]: from the window of the step, if there is one."""
        return rows_at(self.rows, codes) if self.window is None else self.window.at(codes)

    def read_items(self, items: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        """Return `item_embeddings` of items [n] that a training step reads: changed as its stage says."""
        rates, mix = self._augmenting.rates(items, dropout, self.modalities), self._augmenting.mix(items)
        return self.embedded(self._rows_at(self.codes[items]).mean(1), items, rates, mix)

    def embedded(
        self, embeddings: Tensor, items: Tensor, dropout: float | Tensor = 0.0, mix: Mix | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return `item_embeddings` of items [n] whose rows, or the means of them, are `embeddings` [n, hidden].

        `dropout`: one for all, or [n, modalities + 1], the row's last. `mix`: with what content is mixed.
        """
        drops = isinstance(dropout, Tensor) or dropout > 0
        keep = torch.rand(len(items), len(self.modalities) + 1, device=items.device) >= dropout if drops else None
        warm = None if self._cold_items is None else ~self._cold_items[items]
        if warm is not None:
            embeddings = embeddings * warm[:, None]
        if keep is not None:
            embeddings = embeddings * keep[:, -1:]
        embeddings = embeddings + self.centre
        soft = []
        for number, m in enumerate(self.modalities):
            present = getattr(self, f"present_{m}")[items] & ~self._is_muted(m, items)
            vectors = self._vectors(m, items)
            if mix is not None and m in CONTENT_MODALITIES:
                theirs = getattr(self, f"present_{m}")[mix.partners]
                vectors = mix.of(vectors, self._vectors(m, mix.partners), present & theirs)
            if keep is not None:
                present = present & keep[:, number]
            if warm is not None and m == "collaborative":
                present = present & warm
            projected = self.projectors[m](vectors, present)
            embeddings = embeddings + self.projectors[m].as_position(projected)
            if m in self.soft_modalities:
                soft.append(projected + self.centre)
        none = embeddings.new_zeros(len(items), 0, self.hidden_size)
        return embeddings, torch.cat(soft, 1) if soft else none

    def _vectors(self, modality: Modality, items: Tensor) -> Tensor:
        """Return the vectors [n, width] of items [n]: the plain ones, or those of the views that were drawn."""
        if modality not in self._views:
            return getattr(self, f"vectors_{modality}")[items].to(self.centre.dtype)
        vectors, drawn = self._views[modality]
        return vectors[drawn[items], items]

    def _is_muted(self, modality: Modality, items: Tensor) -> Tensor:
        """Return bool of the shape of `items`: whether these are read without a modality."""
        if modality in self._off:
            return torch.ones_like(items, dtype=torch.bool)
        if modality not in self._muted:
            return torch.zeros_like(items, dtype=torch.bool)
        if self._muted_items is None:
            return torch.ones_like(items, dtype=torch.bool)
        return torch.isin(items, torch.tensor(self._muted_items, dtype=items.dtype, device=items.device))

    @contextmanager
    def muted(self, *modalities: Modality, items: Sequence[int] | None = None) -> Iterator[None]:
        """Within the block every item, or each of `items`, is read and scored as if it had none of these modalities."""
        before = self._muted, self._muted_items
        self._muted, self._muted_items = frozenset(modalities), None if items is None else tuple(sorted(items))
        try:
            yield
        finally:
            self._muted, self._muted_items = before

    @contextmanager
    def switched_off(self, modalities: Collection[str]) -> Iterator[None]:
        """Within the block no item has these modalities, whatever is muted beside; blocks add up."""
        before = self._off
        self._off = before.union(modalities)
        try:
            yield
        finally:
            self._off = before

    @contextmanager
    def _with_cold_items(self, share: float) -> Iterator[None]:
        """Within the block a random `share` of the items is read and scored without row and collaborative vector."""
        if share and self.ids.levels == 1:
            self._cold_items = torch.rand(len(self.codes), device=self.device) < share
        try:
            yield
        finally:
            self._cold_items = None

    @contextmanager
    def _with_views(self, views: Mapping[Modality, Tensor]) -> Iterator[None]:
        """Within the block each item has the vectors of one random view of each modality of `views`."""
        count = len(self.codes)
        self._views = {m: (v, torch.randint(len(v), (count,), device=self.device)) for m, v in views.items()}
        try:
            yield
        finally:
            self._views = {}

    @contextmanager
    def _with_augmenting(self, augmenting: Augmenting | None) -> Iterator[None]:
        """Within the block what is read is changed so."""
        self._augmenting = augmenting or Augmenting()
        try:
            yield
        finally:
            self._augmenting = Augmenting()

    def _thinned(self, values: Tensor, dropout: float, batch: Batch, at: Tensor) -> Tensor:
        """Return `values` [n, hidden] of the positions `at` of a batch, bool [rows, positions], with row dropout."""
        if not self.training or not dropout:
            return values
        if self._augmenting.half is None:
            return nn.functional.dropout(values, dropout)
        return self._augmenting.thinned(values, dropout, batch.slots, batch.mask.segments, at)

    def embeddings(self, items: Tensor) -> Tensor:
        """Return the one-position embeddings [n, hidden] of items [n], many of them a part at a time.

        Without their soft tokens, which take several times as much memory.
        """
        if len(items) <= AT_ONCE:
            return self.item_embeddings(items)[0]
        parts = items.split(AT_ONCE)
        if torch.is_grad_enabled():
            return torch.cat([self.item_embeddings(part)[0] for part in parts])
        found = torch.empty(len(items), self.hidden_size, dtype=self.rows.dtype, device=self.device)
        for number, part in enumerate(parts):
            found[number * AT_ONCE : number * AT_ONCE + len(part)] = self.item_embeddings(part)[0]
        return found

    def all_embeddings(self) -> Tensor:
        """Return the one-position embeddings [items, hidden] of the whole catalogue."""
        return self.embeddings(torch.arange(len(self.codes), device=self.device))

    def all_items(self) -> tuple[Tensor, Tensor]:
        """Return `item_embeddings` of the whole catalogue."""
        return self.item_embeddings(torch.arange(len(self.codes), device=self.device))

    def code_rows(self, codes: Tensor) -> Tensor:
        """Return the input rows [n, hidden] of codes [n], numbered through all levels; see `as_input`."""
        return (self._rows_at(codes) + self.centre) * self.config.base.item_scale

    def as_input(self, rows: Tensor) -> Tensor:
        """Return rows, which lie in the space of the base's table of words, as its layers get them (Gemma: larger)."""
        return rows if self.embedding_scale == 1 else rows * self.embedding_scale

    def output_rows(self, level: int) -> Tensor:
        """Return the rows [codes, hidden] whose products with a hidden state are the scores of a level's codes."""
        if self.ids.codes.shape[1] > 1:
            return self.rows[self.offsets[level] : self.offsets[level + 1]].to(self.device)
        few = len(self.codes) <= AT_ONCE  # in file order, so that scores are to the bit those of `all_items`
        return self.by_code(self.all_embeddings()) if few else self.embeddings(self.items_by_code)

    def by_code(self, embeddings: Tensor) -> Tensor:
        """Return embeddings of all items [items, hidden] in the order of their codes, of which each has one."""
        return embeddings[self.items_by_code]

    @torch.no_grad()
    def rows_with(self, item: int, modality: Modality, vectors: Tensor) -> Tensor:
        """Return the one-position embeddings [n, hidden] of an item with each of `vectors` [n, width] as its own of a
        modality, whether or not the catalogue has one."""
        items = torch.tensor([item], device=self.device)
        there = torch.ones(len(vectors), dtype=torch.bool, device=self.device)
        catalogued = self._vectors(modality, items), getattr(self, f"present_{modality}")[items]
        changed = self.projectors[modality](vectors.to(self.centre.dtype), there)
        projector = self.projectors[modality]
        return self.item_embeddings(items)[0] + projector.as_position(changed - projector(*catalogued))

    def code_logits(self, hidden: Tensor, level: int) -> Tensor:
        """Return the scores [..., codes] of a level's codes at hidden states [..., hidden]."""
        return hidden @ self.output_rows(level).T

    @torch.no_grad()
    def override_vectors(self, embedded: Tensor, items: Tensor, slots: Tensor, overrides: VectorOverrides) -> None:
        """Embed some items of one prompt with other vectors than the catalogue's; changes `embedded` in place.

        `embedded` [positions, hidden]; `items`, `slots` [positions] of the prompt as in Example. The scored items keep
        the vectors of the catalogue.
        """
        for item, vectors in overrides.items():
            here, change = items == item, embedded.new_zeros(self.hidden_size)
            number = torch.tensor(item, device=self.device)
            for m in (m for m in self.soft_modalities if m in vectors and not self._is_muted(m, number)):
                vector = torch.from_numpy(vectors[m]).to(self.device)[None].float()
                projector = self.projectors[m]
                projected = projector(vector, torch.ones(1, dtype=torch.bool, device=self.device))
                catalogued = self._vectors(m, number[None]), getattr(self, f"present_{m}")[number[None]]
                change += projector.as_position(projected - projector(*catalogued))[0]
                first = FIRST_SOFT + self.soft_start(m)
                soft = here & (slots >= first) & (slots < first + projected.shape[1])
                embedded[soft] = self.as_input(projected[0] + self.centre)[slots[soft] - first]
            embedded[here & (slots == ITEM)] += self.as_input(change * self.config.base.item_scale)


def _shared(vectors: np.ndarray) -> Tensor:
    """Return an array as a tensor that shares its memory, or the file that it is mapped from, which nothing writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(vectors)
