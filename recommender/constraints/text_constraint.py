"""Text in which some spans are held to a few names: within quotation marks, and where a list names its next item.

Plain torch and a tokenizer, so that both engines hold a text to the same: as a logits processor of `transformers`, and as
one of vLLM, where a request says what holds in its `extra_args`.
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
"""Name of our entry in a request's `extra_args`: what `TextConstraint.said` returns."""
LONGEST = 300
"""Characters of a line of a list; one that goes on longer is ended."""
_SHORTEST = 8
_ENDS = ".!?"


class TokenPieces:
    """The text of each token of a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Read all tokens once."""
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False)
        special = set(tokenizer.all_special_ids)
        self.end, self.tokenizer = tokenizer.eos_token_id, tokenizer
        self.known = {text: i for i, text in enumerate(texts) if text and "\ufffd" not in text and i not in special}
        self.closing = [i for text, i in self.known.items() if text[0] == QUOTE and QUOTE not in text[1:]]
        #: what no line may hold: ends, breaks and what else is no text
        self.outside = torch.tensor(sorted(special | {i for i, t in enumerate(texts) if BREAK in t or "\r" in t}))

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def spelling(self, rest: str) -> list[int]:
        """Return the tokens that begin a text without going beyond it."""
        return [self.known[rest[:n]] for n in range(1, len(rest) + 1) if rest[:n] in self.known]

    def can_spell(self, text: str) -> bool:
        """Whether a text consists of whole tokens: some characters are split into bytes."""
        reached = {0}
        for start in range(len(text)):
            if start in reached:
                reached |= {n for n in range(start + 1, len(text) + 1) if text[start:n] in self.known}
        return len(text) in reached

    def within_quotes(self, inside: str, names: Sequence[str]) -> list[int]:
        """Return what may follow within an open quotation mark: what spells a name, and then the closing mark."""
        rests = [name[len(inside) :] + QUOTE for name in names if name.startswith(inside)]
        spelled = {token for rest in rests for token in self.spelling(rest)}
        return sorted(spelled | {i for rest in rests if rest == QUOTE for i in self.closing})


@lru_cache(maxsize=4)
def token_pieces(tokenizer: Any) -> TokenPieces:
    """Return the token_pieces of a tokenizer; they are read once."""
    return TokenPieces(tokenizer)


@dataclass(frozen=True)
class TextConstraint:
    """What a text is held to. `names`: the only texts that may stand within quotation marks. With `items` it is a list of
    them: numbered lines, each begins with the next item in quotation marks and goes on freely to the end of a sentence."""

    names: tuple[str, ...]
    items: tuple[str, ...] = ()

    def said(self) -> str:
        """Return it as text that `TextConstraint.of` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, said: Any) -> TextConstraint:
        """Read what a request says. Raises ValueError for what is none."""
        try:
            fields = json.loads(said)
            lists = {name: tuple(fields.pop(name, ())) for name in ("names", "items")}
        except (TypeError, ValueError, AttributeError):
            raise ValueError(f"{TEXT_CONSTRAINT}: expected JSON") from None
        if fields or not all(isinstance(text, str) for texts in lists.values() for text in texts):
            raise ValueError(f'{TEXT_CONSTRAINT}: expected {{"names": [...], "items": [...]}} of texts')
        return cls(**lists)

    def constrain(self, row: Tensor, tokens: Sequence[int], known: TokenPieces) -> None:
        """Forbid in a row of logits [vocabulary] what may not follow the text of `tokens`."""
        text = known.text(tokens)
        if self.items:
            self._constrain_list(row, text, known)
        elif (inside := _open_quotation(text)) is not None and (allowed := known.within_quotes(inside, self.names)):
            _keep(row, allowed)

    def _constrain_list(self, row: Tensor, text: str, known: TokenPieces) -> None:
        lines = text.split(BREAK)
        number, line = len(lines), lines[-1]
        begins = f"{number}. {QUOTE}{self.items[min(number, len(self.items)) - 1]}{QUOTE}"
        if len(line) < len(begins):
            _keep(row, known.spelling(begins[len(line) :]))
            return
        inside = _open_quotation(line)
        if inside is not None and (allowed := known.within_quotes(inside, (*self.names, *self.items))):
            _keep(row, allowed)
        elif self._is_whole(line[len(begins) :]):
            _keep(row, [known.known[BREAK] if number < len(self.items) else known.end])
        else:
            row[known.outside] = -torch.inf

    @staticmethod
    def _is_whole(sentence: str) -> bool:
        ended = sentence.endswith(tuple(_ENDS)) and len(sentence) >= _SHORTEST
        return ended or len(sentence) > LONGEST


def lines_of(text: str) -> list[str]:
    """Return the sentences of a list that was held to its items, without their numbers."""
    return [re.sub(r"^\d+\. ", "", line) for line in text.split(BREAK)]


def _open_quotation(text: str) -> str | None:
    before, mark, inside = text.rpartition(QUOTE)
    return inside if mark and before.count(QUOTE) % 2 == 0 else None


def _keep(row: Tensor, allowed: Sequence[int]) -> None:
    kept = row[list(allowed)].clone()
    row.fill_(-torch.inf)
    row[list(allowed)] = kept
