"""Constrains generated text to given names: within quotation marks, and where a list names its next item.

Plain torch and a tokenizer, so that both engines apply the same constraint: as a logits processor of `transformers`, and as
one of vLLM, where a request carries the constraint in its `extra_args`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

QUOTE, BREAK = '"', "\n"
TEXT_CONSTRAINT = "recommender_spans"
"""Key of a request's `extra_args`; its value is what `TextConstraint.to_json` returns."""
LONGEST = 300
"""Characters after the name on a line of a list; a line that goes on longer is ended."""
_SHORTEST = 8
_SENTENCE_ENDS = (".", "!", "?")


class TokenPieces:
    """The text of each token of a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Decode each token on its own."""
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False)
        special = set(tokenizer.all_special_ids)
        self.end, self.tokenizer = tokenizer.eos_token_id, tokenizer
        self.known = {text: i for i, text in enumerate(texts) if text and "\ufffd" not in text and i not in special}
        self.closing = [i for text, i in self.known.items() if text[0] == QUOTE and QUOTE not in text[1:]]
        #: tokens that no line may hold: special ones and line breaks
        self.outside = torch.tensor(sorted(special | {i for i, t in enumerate(texts) if BREAK in t or "\r" in t}))

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def spelling(self, rest: str) -> list[int]:
        """Return the tokens with which a text `rest` can begin, none of which goes beyond it."""
        return [self.known[rest[:n]] for n in range(1, len(rest) + 1) if rest[:n] in self.known]

    def can_spell(self, text: str) -> bool:
        """Return whether a text can be written in whole tokens: some characters exist only as split bytes."""
        reached = {0}
        for start in range(len(text)):
            if start in reached:
                reached |= {n for n in range(start + 1, len(text) + 1) if text[start:n] in self.known}
        return len(text) in reached

    def within_quotes(self, inside: str, names: Sequence[str]) -> list[int]:
        """Return the tokens that may follow the text `inside` an open quotation mark: what goes on with one of the names,
        and the closing mark where one is complete."""
        rests = [name[len(inside) :] + QUOTE for name in names if name.startswith(inside)]
        continuing = {token for rest in rests for token in self.spelling(rest)}
        return sorted(continuing | {i for rest in rests if rest == QUOTE for i in self.closing})


@lru_cache(maxsize=4)
def token_pieces(tokenizer: Any) -> TokenPieces:
    """Return the pieces of a tokenizer, which are decoded once."""
    return TokenPieces(tokenizer)


@dataclass(frozen=True)
class TextConstraint:
    """Which names a generated text may hold.

    With `items` the text is a list of them: numbered lines, each begins with the next item in quotation marks and goes on
    freely to the end of a sentence.
    """

    names: tuple[str, ...]
    """The only texts, besides `items`, that may stand within quotation marks."""
    items: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the constraint as JSON that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: Any) -> TextConstraint:
        """Read the constraint of a request. Raises ValueError for anything else."""
        try:
            fields = json.loads(text)
            lists = {name: tuple(fields.pop(name, ())) for name in ("names", "items")}
        except (TypeError, ValueError, AttributeError, RecursionError):
            raise ValueError(f"{TEXT_CONSTRAINT}: expected JSON") from None
        if fields or not all(isinstance(text, str) for texts in lists.values() for text in texts):
            raise ValueError(f'{TEXT_CONSTRAINT}: expected {{"names": [...], "items": [...]}} of texts')
        return cls(**lists)

    def constrain(self, logits: Tensor, tokens: Sequence[int], pieces: TokenPieces) -> None:
        """Set the logits [vocabulary] of what may not follow the text of `tokens` to -inf, in place."""
        text = pieces.text(tokens)
        if self.items:
            self._constrain_list(logits, text, pieces)
        elif (inside := _open_quotation(text)) is not None and (allowed := pieces.within_quotes(inside, self.names)):
            _allow_only(logits, allowed)

    def _constrain_list(self, logits: Tensor, text: str, pieces: TokenPieces) -> None:
        lines = text.split(BREAK)
        number, line = len(lines), lines[-1]
        start = f"{number}. {QUOTE}{self.items[min(number, len(self.items)) - 1]}{QUOTE}"
        if len(line) < len(start):
            _allow_only(logits, pieces.spelling(start[len(line) :]))
            return
        inside = _open_quotation(line)
        if inside is not None and (allowed := pieces.within_quotes(inside, (*self.names, *self.items))):
            _allow_only(logits, allowed)
        elif self._is_complete(line[len(start) :]):
            _allow_only(logits, [pieces.known[BREAK] if number < len(self.items) else pieces.end])
        else:
            logits[pieces.outside] = -torch.inf

    @staticmethod
    def _is_complete(sentence: str) -> bool:
        ended = sentence.endswith(_SENTENCE_ENDS) and len(sentence) >= _SHORTEST
        return ended or len(sentence) > LONGEST


def lines_of(text: str) -> list[str]:
    """Return the lines of a list of items, without their numbers."""
    return [re.sub(r"^\d+\. ", "", line) for line in text.split(BREAK)]


def _open_quotation(text: str) -> str | None:
    """Return what stands behind a quotation mark that is not closed, None if there is none."""
    before, mark, inside = text.rpartition(QUOTE)
    return inside if mark and before.count(QUOTE) % 2 == 0 else None


def _allow_only(logits: Tensor, tokens: Sequence[int]) -> None:
    allowed_logits = logits[list(tokens)].clone()
    logits.fill_(-torch.inf)
    logits[list(tokens)] = allowed_logits
