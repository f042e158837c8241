"""Generation by `transformers` in which spans are held to given names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from recommender.constraints.text_constraint import Held, pieces


class HeldTo(LogitsProcessor):
    """Holds each row of a batch to what is said of it; the prompts take `start` positions."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, held: Sequence[Held], start: int) -> None:
        self.pieces, self.held, self.start = pieces(tokenizer), held, start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `scores` [rows, vocabulary] with -inf at what may not follow."""
        for row, held in enumerate(self.held):
            held.constrain(scores[row], input_ids[row, self.start :].tolist(), self.pieces)
        return scores
