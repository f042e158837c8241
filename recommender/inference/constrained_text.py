"""Generation by `transformers` in which spans are constraint to given names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from recommender.constraints.text_constraint import TextConstraint, token_pieces


class ConstraintProcessor(LogitsProcessor):
    """Holds each row of a batch to what is said of it; the prompts take `start` positions."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, constraint: Sequence[TextConstraint], start: int) -> None:
        self.pieces, self.constraint, self.start = token_pieces(tokenizer), constraint, start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `scores` [rows, vocabulary] with -inf at what may not follow."""
        for row, constraint in enumerate(self.constraint):
            constraint.constrain(scores[row], input_ids[row, self.start :].tolist(), self.pieces)
        return scores
