"""Compares what a program prints with what a page or a notebook shows: the same words, numbers up to their last digits."""

from __future__ import annotations

import re

import torch

from recommender.model import resolve_dtype

_NUMBER = re.compile(r"-?\d+\.\d+")
TOLERANCE = 0.06
"""Scores are rounded to two decimals, and processors round bfloat16 in their own ways."""


def assert_alike(printed: str, shown: str) -> None:
    """Fail unless both say the same.

    What pages show was computed in bfloat16. In another format what the model writes may differ, so there only what stands
    before the first ` - ` of a line is compared.
    """
    whole = resolve_dtype("auto") == torch.bfloat16
    printed_lines, shown_lines = printed.strip().splitlines(), shown.strip().splitlines()
    assert len(printed_lines) == len(shown_lines), printed
    for mine, theirs in zip(printed_lines, shown_lines, strict=True):
        if not whole:
            mine, theirs = mine.split(" - ")[0], theirs.split(" - ")[0]
        assert _NUMBER.sub("#", mine).split() == _NUMBER.sub("#", theirs).split()
        numbers = zip(_NUMBER.findall(mine), _NUMBER.findall(theirs), strict=True)
        assert all(abs(float(a) - float(b)) <= TOLERANCE for a, b in numbers), f"{mine}\n{theirs}"
