"""Questions back: why not that one, and what if something had not been seen; answered by ranking for other histories.

An explanation by contrast names the smallest change that would have led elsewhere (Wachter et al., "Counterfactual
Explanations without Opening the Black Box", 2018). Nothing is estimated: every answer was ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: histories -> scores [histories, items] of the whole catalogue, higher is better
ScoreAll = Callable[[Sequence[np.ndarray]], np.ndarray]
#: removals and additions together that are tried at most
MOST_CHANGES = 3


@dataclass(frozen=True)
class Change:
    """Items taken out of a history and items put at its end."""

    removed: tuple[int, ...] = ()
    added: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.removed) + len(self.added)

    def of(self, history: np.ndarray) -> np.ndarray:
        """Return the history as it would be."""
        kept = history[~np.isin(history, self.removed)]
        return np.concatenate([kept, np.array(self.added, dtype=np.int64)])


@dataclass(frozen=True)
class Shortfall:
    """Where an item stands, and what would bring it into the list. `rank`: from 1, among what may be shown and itself;
    `score` and `last`: of the item and of the last one listed; `changes`: of the smallest size that was found to do, a
    removal and an addition if both do."""

    item: int
    rank: int
    score: float
    last: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Shift:
    """A list and what it would be. `moved`: item -> by how much its score changes, for what stands in both."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    moved: tuple[tuple[int, float], ...]

    @property
    def left(self) -> tuple[int, ...]:
        """What would no longer be listed."""
        return tuple(item for item in self.before if item not in self.after)

    @property
    def entered(self) -> tuple[int, ...]:
        """What would be listed instead."""
        return tuple(item for item in self.after if item not in self.before)


def listed(scores: np.ndarray, allowed: np.ndarray, k: int) -> tuple[int, ...]:
    """Return the `k` best allowed items; `scores` and `allowed` [items]."""
    order = np.argsort(-np.where(allowed, scores, -np.inf), kind="stable")
    return tuple(int(item) for item in order[: min(k, int(allowed.sum()))])


def shift(history: np.ndarray, removed: Sequence[int], k: int, scores: ScoreAll, allowed: np.ndarray) -> Shift:
    """Return what the list would be had `removed` never been seen: it may then be recommended itself.

    `allowed` bool [items]: what may be shown now.
    """
    then = Change(removed=tuple(removed))
    now, other = scores([history, then.of(history)])
    free = allowed.copy()
    free[list(then.removed)] = True
    before, after = listed(now, allowed, k), listed(other, free, k)
    moved = tuple((item, float(other[item] - now[item])) for item in before if item in after)
    return Shift(before, after, moved)


def shortfall(
    history: np.ndarray,
    item: int,
    k: int,
    scores: ScoreAll,
    allowed: np.ndarray,
    window: int,
    added: Sequence[int] = (),
    most: int = MOST_CHANGES,
) -> Shortfall:
    """Find out how far `item` is from the `k` best allowed ones, and the smallest change of the history that brings it in.

    Tried are removals among the last `window` positions and additions of `added`; what is removed stays hidden. All single
    changes are tried, so one is found if there is one; of more, the best of each round is kept (greedy), up to `most`.
    """
    own = scores([history])[0]
    rank = _rank(own, item, allowed)
    best = listed(own, allowed, k)
    found = Shortfall(item, rank, float(own[item]), float(own[best[-1]]) if best else -np.inf)
    if rank <= k:
        return found
    options = [Change(removed=(i,)) for i in dict.fromkeys(history[::-1][:window].tolist()) if i != item]
    options += [Change(added=(i,)) for i in dict.fromkeys(added) if i != item and i not in history]
    return _searched(found, history, options, k, scores, allowed, most)


def _searched(
    found: Shortfall,
    history: np.ndarray,
    options: Sequence[Change],
    k: int,
    scores: ScoreAll,
    allowed: np.ndarray,
    most: int,
) -> Shortfall:
    start = Change()
    for _ in range(most):
        tried = [_both(start, option) for option in options if not _both_touch(start, option)]
        if not tried:
            return found
        changed = scores([change.of(history) for change in tried])
        ranks = [_rank(row, found.item, _less(allowed, change)) for row, change in zip(changed, tried, strict=True)]
        order = sorted(range(len(tried)), key=lambda n: (ranks[n], -float(changed[n, found.item])))
        enough = [tried[n] for n in order if ranks[n] <= k]
        if enough:
            return Shortfall(found.item, found.rank, found.score, found.last, _one_of_each(enough))
        start = tried[order[0]]
    return found


def _rank(scores: np.ndarray, item: int, allowed: np.ndarray) -> int:
    return 1 + int(np.sum(allowed & (scores > scores[item])))


def _less(allowed: np.ndarray, change: Change) -> np.ndarray:
    """What was put into the history has been seen."""
    kept = allowed.copy()
    kept[list(change.added)] = False
    return kept


def _both(first: Change, second: Change) -> Change:
    return Change((*first.removed, *second.removed), (*first.added, *second.added))


def _both_touch(first: Change, second: Change) -> bool:
    return bool({*first.removed, *first.added} & {*second.removed, *second.added})


def _one_of_each(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return the best change, and the best one that is made of other means: removing, adding, or both."""
    kinds: dict[tuple[bool, bool], Change] = {}
    for change in changes:
        kinds.setdefault((bool(change.removed), bool(change.added)), change)
    return tuple(kinds.values())
