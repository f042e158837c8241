"""One list of several parts, in turn the next best of each, so that no part takes all places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Turn:
    """A part that has its turns. `items` bool [items]: what is of it; `most`: how many may be listed, 0 for any number."""

    items: np.ndarray
    most: int = 0


def in_turn(parts: Sequence[Sequence[int]], width: int) -> list[tuple[int, int]]:
    """Return (part, place in it) for each place of a list of at most `width` of the items of parts, each once; shorter
    ones run out."""
    rounds = sorted((place, part) for part, items in enumerate(parts) for place in range(len(items)))
    chosen: dict[int, tuple[int, int]] = {}
    for place, part in rounds:
        if len(chosen) < width:
            chosen.setdefault(int(parts[part][place]), (part, place))
    return list(chosen.values())


def best(scores: np.ndarray, allowed: np.ndarray, k: int, turns: Sequence[Turn] = ()) -> tuple[int, ...]:
    """Return the `k` best allowed items, best first, or the best of each turn in turn; `scores` and `allowed` [items]."""
    if not turns:
        order = np.argsort(-np.where(allowed, scores, -np.inf), kind="stable")
        return tuple(int(item) for item in order[: min(k, int(allowed.sum()))])
    parts = [best(scores, allowed & turn.items, min(k, turn.most or k)) for turn in turns]
    return tuple(parts[part][place] for part, place in in_turn(parts, k))


def place_of(item: int, scores: np.ndarray, allowed: np.ndarray, k: int = 0, turns: Sequence[Turn] = ()) -> int:
    """Return the place of an item, from 1, among the allowed items and itself, ranked as `best` does without an end.

    What its turn lists no more stands behind all that is listed, and behind place `k`. An item that has no turn is ranked by
    its score alone.
    """
    better = allowed & (scores > scores[item])
    own = next((number for number, turn in enumerate(turns) if turn.items[item]), None)
    if own is None:
        return 1 + int(better.sum())
    before, most = int((better & turns[own].items).sum()), turns[own].most
    late, others = bool(most and before >= most), 0
    for number, turn in enumerate(turns):
        if number != own:
            there = int((allowed & turn.items).sum())
            listed = min(there, turn.most or there)
            rounds = before + (number < own)
            others += max(listed, min(there, rounds)) if late else min(listed, rounds)
    return max(1 + before + others, k + 1 if late else 0)
