"""How a training step scores the catalogue: all codes at once, a part at a time, or a sample of them.

Small catalogues are scored as a whole. A large one of one level is sampled, and only the token rows of the items that a
batch reads or scores are looked at: they are gathered into a window, which gets their gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from recommender.errors import ConfigError
from recommender.model.item_embeddings import ItemEmbeddings
from recommender.model.large_softmax import SCORES_AT_ONCE, Expected, chunked_losses, sampled_losses
from recommender.model.negatives import Drawn, Negatives
from recommender.model.row_window import RowWindow
from recommender.model.soft_targets import SoftTargets
from recommender.prompting.packing import Batch

#: codes of a level up to which `auto` scores all of them at once
FULL_UP_TO = 50_000
#: codes of a part, at least
LEAST_PART = 1024
Kind = Literal["full", "chunked", "sampled"]


class TrainingSoftmax(ItemEmbeddings):
    """Item embeddings, and the losses over the codes of large levels."""

    #: what negatives are drawn from; set by the training, which knows how often items occur
    negatives: Negatives | None = None
    _drawn: Drawn | None = None
    _last_window: RowWindow | None = None

    def softmax_of(self, level: int) -> Kind:
        """Return how a training step scores the codes of a level. Raises ConfigError for what cannot be sampled."""
        chosen, several = self.config.training.softmax, self.ids.levels > 1
        if chosen == "sampled" and several:
            raise ConfigError(
                "training.softmax: sampled needs one level of ids, where each item has a code of its own",
                "set training.softmax: auto, or semantic_ids.levels: 1",
            )
        if chosen != "auto":
            return chosen
        if self.ids.sizes[level] <= FULL_UP_TO:
            return "full"
        return "chunked" if several else "sampled"

    @property
    def trains_few_rows(self) -> bool:
        """Whether a training step changes only the token rows that it looks at, which no optimiser of torch then holds."""
        return self.ids.levels == 1 and self.softmax_of(0) == "sampled"

    @property
    def rows_stay(self) -> bool:
        """Whether the token rows stay in the host's memory where the rest of the model is moved."""
        return self.config.training.rows_device == "cpu" and self.trains_few_rows

    def move_to(self, device: torch.device) -> None:
        """Move the model to a device; token rows that stay in the host's memory are never on it, not even for a moment."""
        if not self.rows_stay:
            self.to(device)
            return
        rows, self._parameters["rows"] = self._parameters["rows"], None
        try:
            self.to(device)
        finally:
            self._parameters["rows"] = rows

    def take_window(self) -> RowWindow | None:
        """Return the rows that the last training step looked at, once."""
        window, self._last_window = self._last_window, None
        return window

    @contextmanager
    def _few_rows(self, batch: Batch, teacher: SoftTargets | None) -> Iterator[None]:
        """Within the block negatives are drawn, and only the rows that the batch needs are looked at."""
        if not (self.training and self.trains_few_rows) or batch.expected is not None:
            yield
            return
        parts = [self.codes[batch.items[batch.items >= 0], 0]]
        if not batch.writes:
            negatives = self.negatives or Negatives(self.ids.sizes[0])
            ranked = batch.labels >= self.vocabulary
            labels = batch.labels[ranked] - self.vocabulary
            self._drawn = negatives.draw(self.config.training.negatives, labels)
            parts += [labels, self._drawn.codes]
            if teacher is not None:
                parts.append(teacher.at(batch.interaction_ids[ranked], self.codes, 0)[0].flatten())
        self.window = self._last_window = RowWindow.of(self.rows, torch.cat(parts))
        try:
            yield
        finally:
            self.window = self._drawn = None

    def _large_losses(
        self, hidden: Tensor, codes: Tensor, level: int, smoothing: float, expected: Expected | None
    ) -> Tensor | None:
        """Return the losses [labels] of a level that is not scored as a whole; None for one that is."""
        kind = self.softmax_of(level)
        if kind == "full":
            return None
        dtype = self.llm.get_input_embeddings().weight.dtype
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            if self._drawn is not None:
                size = self.ids.sizes[level]
                return sampled_losses(self._output_rows_of, hidden, codes, self._drawn, size, smoothing, expected)
            step = max(SCORES_AT_ONCE // max(len(hidden), 1), LEAST_PART)
            parts = self._output_parts(level, step)
            return chunked_losses(parts, self._part_scores, hidden, codes, smoothing, expected)

    def _output_rows_of(self, codes: Tensor) -> Tensor:
        """Return the output rows [n, hidden] of codes [n] of the only level."""
        return self.item_embeddings(self.items_by_code[codes])[0]

    def _output_parts(self, level: int, step: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the rows of a level in parts: cut at once, so that their gradients are joined at once."""
        first = int(self.offsets[level])
        for number, part in enumerate(self.rows[first : int(self.offsets[level + 1])].split(step)):
            yield number * step, part.to(self.device)

    def _part_scores(self, hidden: Tensor, part: Tensor, first: int) -> Tensor:
        """Return scores [labels, codes] of the codes from `first` on, whose rows are `part`."""
        if self.ids.levels > 1:
            return hidden @ part.T
        items = self.items_by_code[first : first + len(part)]
        return hidden @ self.embedded(part, items)[0].T
