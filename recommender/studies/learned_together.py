"""Items that a history has close together, in whatever order: a person is known again whose table was sorted otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from recommender.numerics.sampling import evenly

SLACK = 2
"""Other items that may stand between those that are looked for."""
_SAMPLE = 2000  # histories by which chance is estimated


class Together:
    """Finds the histories in which some items stand within a window of their number and `SLACK`."""

    def __init__(self, histories: Sequence[Sequence[int]]) -> None:
        self.histories = histories
        self.places: dict[int, dict[int, list[int]]] = defaultdict(dict)
        """item -> history -> where it stands there"""
        for number, items in enumerate(histories):
            for place, item in enumerate(items):
                self.places[item].setdefault(number, []).append(place)

    def __call__(self, items: Sequence[int], but: int = -1) -> bool:
        """Return whether any history, `but` for one, has all these items close together."""
        holders = sorted((self.places.get(item, {}) for item in set(items)), key=len)
        width = len(holders) + SLACK
        return any(
            number != but and all(number in holder for holder in holders[1:]) and _close(holders, number, width)
            for number in holders[0]
        )

    def chance(self, before: int) -> float:
        """Return in which share of histories the first or the last `before` and one items stand in another; never 0."""
        long = [number for number, items in enumerate(self.histories) if len(items) > before]
        sample = [long[place] for place in evenly(len(long), min(len(long), _SAMPLE)).tolist()] if long else []
        shared = [
            sum(self(part(self.histories[number]), but=number) for number in sample)
            for part in (lambda items: items[: before + 1], lambda items: items[-before - 1 :])
        ]
        return (max(shared) + 1) / (len(sample) + 1)


def _close(holders: Sequence[dict[int, list[int]]], number: int, width: int) -> bool:
    """Return whether one place of each item lies within `width` places of a history."""
    for start in sorted(place for holder in holders for place in holder[number]):
        if all(any(start <= place < start + width for place in holder[number]) for holder in holders):
            return True
    return False
