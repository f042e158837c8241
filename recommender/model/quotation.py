"""Generation in which only given names can stand within quotation marks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

QUOTE = '"'


@lru_cache(maxsize=4)
def _pieces(tokenizer: PreTrainedTokenizerBase) -> tuple[dict[str, int], list[int]]:
    """Return the id of every token's text, and those tokens that close a quotation."""
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    special = set(tokenizer.all_special_ids)
    known = {text: i for i, text in enumerate(texts) if text and "\ufffd" not in text and i not in special}
    return known, [i for text, i in known.items() if text[0] == QUOTE and QUOTE not in text[1:]]


class OnlyTheseNames(LogitsProcessor):
    """Within an open quotation mark a row may only spell one of its names, then close the mark.

    `names`: for each row of the batch. `start`: how many positions the prompts take. Outside of quotation marks nothing
    is forbidden; where no token continues a name (a character that the tokenizer splits into bytes), neither.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, names: Sequence[Sequence[str]], start: int) -> None:
        self.tokenizer, self.names, self.start = tokenizer, names, start
        self.known, self.closing = _pieces(tokenizer)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `scores` [rows, vocabulary] with -inf at what would begin or continue no name."""
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], clean_up_tokenization_spaces=False)
        for row, text in enumerate(texts):
            before, mark, inside = text.rpartition(QUOTE)
            if mark and before.count(QUOTE) % 2 == 0 and (allowed := self._following(inside, self.names[row])):
                kept = scores[row, allowed].clone()
                scores[row] = -torch.inf
                scores[row, allowed] = kept
        return scores

    def _following(self, inside: str, names: Sequence[str]) -> list[int]:
        rests = [name[len(inside) :] + QUOTE for name in names if name.startswith(inside)]
        spelled = {self.known[rest[:n]] for rest in rests for n in range(1, len(rest) + 1) if rest[:n] in self.known}
        return sorted(spelled | {i for rest in rests if rest == QUOTE for i in self.closing})
