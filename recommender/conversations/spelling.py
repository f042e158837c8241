"""Names as people write them, and slips of the finger."""

from __future__ import annotations

import numpy as np


def spelled(name: str, year: str | None, random: np.random.Generator) -> str:
    """Return a name as people write it: mostly with its year, else without article, in lower case, or cut."""
    name, drawn = name.removesuffix(f" ({year})"), random.random()
    if drawn < 0.55 and year:
        return f"{name} ({year})"
    if drawn < 0.65 and name.startswith("The "):
        return name[4:]
    if 0.8 < drawn < 0.9:
        return name.lower()
    head = name.partition(":")[0]
    return head if drawn > 0.9 and len(head) > 4 else name


def with_typo(text: str, random: np.random.Generator) -> str:
    """Return a text with a letter left out, doubled, or changed with its neighbour; short ones as they are."""
    if len(text) < 8:
        return text
    place, drawn = int(random.integers(1, len(text) - 2)), random.random()
    if drawn < 0.4:
        return text[:place] + text[place + 1 :]
    if drawn < 0.7:
        return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return text[: place + 1] + text[place:]
