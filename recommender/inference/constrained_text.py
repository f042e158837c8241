"""Constrained text generation with `transformers`: quoted spans can only be given names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from recommender.constraints.text_constraint import TextConstraint, token_pieces


class ConstraintProcessor(LogitsProcessor):
    """Applies one constraint to each row of a batch; the prompts take the first `start` positions."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, constraints: Sequence[TextConstraint], start: int) -> None:
        self.pieces, self.constraints, self.start = token_pieces(tokenizer), constraints, start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Set `scores` [rows, vocabulary] to -inf at tokens that may not follow, and return them."""
        for row, constraint in enumerate(self.constraints):
            constraint.constrain(scores[row], input_ids[row, self.start :].tolist(), self.pieces)
        return scores
