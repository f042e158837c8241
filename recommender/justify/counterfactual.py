"""Counterfactual explanations: the smallest change of a history that would list an item, or what a removal would change.

Wachter et al., "Counterfactual Explanations without Opening the Black Box", 2018. Nothing is estimated: each changed
history is ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.numerics.turns import Turn, best, place_of

#: histories -> scores [histories, items] of the whole catalogue, higher is better
ScoreAll = Callable[[Sequence[np.ndarray]], np.ndarray]
#: most removals and additions together that are tried
MOST_CHANGES = 3


@dataclass(frozen=True)
class Change:
    """Items to remove from a history and items to append to it."""

    removed: tuple[int, ...] = ()
    added: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.removed) + len(self.added)

    def of(self, history: np.ndarray) -> np.ndarray:
        """Return the changed history."""
        rest = history[~np.isin(history, self.removed)]
        return np.concatenate([rest, np.array(self.added, dtype=np.int64)])

    def joined(self, other: Change) -> Change:
        """Return both changes as one."""
        return Change((*self.removed, *other.removed), (*self.added, *other.added))

    def overlaps(self, other: Change) -> bool:
        """Return whether both changes concern the same item."""
        return bool({*self.removed, *self.added} & {*other.removed, *other.added})


@dataclass(frozen=True)
class Shortfall:
    """How far an item is from the list, and which changes would bring it in.

    `rank`: from 1, among the allowed items and itself. `score` of the item, `last`: that of the last listed item.
    `changes`: the smallest that were found, at most one by removing, one by adding and one by both.
    """

    item: int
    rank: int
    score: float
    last: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Shift:
    """A list before and after a change. `moved`: (item, change of its score) for the items in both."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    moved: tuple[tuple[int, float], ...]

    @property
    def left(self) -> tuple[int, ...]:
        """The items that would no longer be listed."""
        return tuple(item for item in self.before if item not in self.after)

    @property
    def entered(self) -> tuple[int, ...]:
        """The items that would be listed instead."""
        return tuple(item for item in self.after if item not in self.before)


def shift(
    history: np.ndarray,
    removed: Sequence[int],
    k: int,
    scores: ScoreAll,
    allowed: np.ndarray,
    turns: Sequence[Turn] = (),
) -> Shift:
    """Return how the list of `k` changes if the items `removed` leave the history.

    They are not listed then either: that what is forgotten would be suggested again helps nobody. `allowed` bool [items]:
    what may be shown; `turns`: of a list in turn.
    """
    change = Change(removed=tuple(removed))
    scores_now, scores_then = scores([history, change.of(history)])
    allowed_then = allowed.copy()
    allowed_then[list(change.removed)] = False
    before, after = best(scores_now, allowed, k, turns), best(scores_then, allowed_then, k, turns)
    moved = tuple((item, float(scores_then[item] - scores_now[item])) for item in before if item in after)
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
    unhelpful: Collection[int] = (),
    turns: Sequence[Turn] = (),
) -> Shortfall:
    """Return how far `item` is from the `k` best allowed items, and the smallest changes that bring it in.

    Tried are removals of the items at the last `window` positions and additions of `added`; removed items stay hidden.
    All single changes are tried, so one is found if there is one. Of larger ones a greedy search keeps the best of each
    round, up to `most` changes. `unhelpful`: items that no change is to name, such as another edition of `item`. `turns`: of
    a list in turn, in which an item competes with those of its own.
    """
    item_scores = scores([history])[0]
    listed = best(item_scores, allowed, k, turns)
    rivals = [i for i in listed if any(turn.items[i] and turn.items[item] for turn in turns)] or listed
    last = float(item_scores[rivals[-1]]) if rivals else -np.inf
    rank = place_of(item, item_scores, allowed, k, turns)
    result = Shortfall(item, rank, float(item_scores[item]), last)
    if result.rank <= k:
        return result
    never = {item, *unhelpful}
    options = [Change(removed=(i,)) for i in dict.fromkeys(history[::-1][:window].tolist()) if i not in never]
    options += [Change(added=(i,)) for i in dict.fromkeys(added) if i not in never and i not in history]

    def place(row: np.ndarray, change: Change) -> int:
        return place_of(item, row, _without_added(allowed, change), k, turns)

    return replace(result, changes=_smallest_changes(item, history, options, k, scores, place, most))


def _smallest_changes(
    item: int,
    history: np.ndarray,
    options: Sequence[Change],
    k: int,
    scores: ScoreAll,
    place: Callable[[np.ndarray, Change], int],
    most: int,
) -> tuple[Change, ...]:
    """`place`: (scores [items] after a change, the change) -> the item's place then."""
    nearest = Change()
    for _ in range(most):
        candidates = [nearest.joined(option) for option in options if not nearest.overlaps(option)]
        if not candidates:
            break
        changed = scores([change.of(history) for change in candidates])
        ranks = [place(row, change) for row, change in zip(changed, candidates, strict=True)]
        order = sorted(range(len(candidates)), key=lambda n: (ranks[n], -float(changed[n, item])))
        sufficient = [candidates[n] for n in order if ranks[n] <= k]
        if sufficient:
            return _best_of_each_kind(sufficient)
        nearest = candidates[order[0]]
    return ()


def _without_added(allowed: np.ndarray, change: Change) -> np.ndarray:
    """Return what may be shown after a change: an item that was added to the history is no longer new."""
    remaining = allowed.copy()
    remaining[list(change.added)] = False
    return remaining


def _best_of_each_kind(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return the first change of each kind: removing only, adding only, both."""
    kinds: dict[tuple[bool, bool], Change] = {}
    for change in changes:
        kinds.setdefault((bool(change.removed), bool(change.added)), change)
    return tuple(kinds.values())
