"""What an update learns: the interactions since a moment behind those before them, some from before again, and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recommender.config import UpdateConfig
from recommender.data.histories import Histories
from recommender.errors import DataError


@dataclass(frozen=True)
class Refusal:
    """An item that a user did not want, when it was shown or after."""

    user: str
    item: int
    time: float


@dataclass(frozen=True)
class Target:
    """An interaction that a version is judged by: the item, and what its user had before."""

    history: np.ndarray
    item: int


@dataclass(frozen=True)
class UpdateBlock:
    """What one update learns and is judged by.

    `histories`: sequences of items; `learned`, bool [interactions of them]: which are learned, the others are only read.
    `refused`: interaction -> an item that was not wanted there. `targets`: of the window. `until`: the time up to which
    interactions are learned. `counts`: new, replayed, refused interactions, and users.
    """

    histories: tuple[np.ndarray, ...]
    learned: np.ndarray
    targets: tuple[Target, ...]
    until: float
    refused: dict[int, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def make_block(
    histories: Histories,
    since: float,
    config: UpdateConfig,
    size: int,
    seed: int = 0,
    refusals: Sequence[Refusal] = (),
    until: float | None = None,
) -> UpdateBlock:
    """Return what an update learns of histories with times.

    `size`: how many items an example may have. `until`: learn up to there, with no window behind it; default: the latest
    `config.window` of the new interactions are the window. Raises DataError without times, or with too few new interactions.
    """
    if histories.times is None:
        raise DataError("an update goes by time, and the interactions have none", "name data.columns.timestamp")
    new_times = np.concatenate([np.empty(0), *(times[times > since] for times in histories.times)])
    if len(new_times) < config.least:
        raise DataError(
            f"{len(new_times)} interactions came since {since:.0f}, and an update waits for {config.least}",
            "nothing to do yet; update.least says how many",
        )
    end = until if until is not None else float(np.quantile(new_times, 1 - config.window, method="lower"))
    random = np.random.default_rng([seed, int(since) & 0xFFFFFFFF])
    sequences, flags = _new_sequences(histories, since, end, config.context, size)
    new = int(sum(flag.sum() for flag in flags))
    again, again_flags = _replayed(histories, since, round(config.replay * new), size, random)
    refused_sequences, refused_flags, unwanted = _refused(histories, refusals, since, end, config.context)
    offset = sum(map(len, sequences)) + sum(map(len, again))
    ends = offset + np.cumsum([len(sequence) for sequence in refused_sequences]) - 1
    counts = {
        "new": new,
        "users": _active(histories, since, end),
        "replayed": int(sum(flag.sum() for flag in again_flags)),
        "refused": len(refused_sequences),
    }
    return UpdateBlock(
        (*sequences, *again, *refused_sequences),
        np.concatenate([np.empty(0, bool), *flags, *again_flags, *refused_flags]),
        _targets(histories, end, config.judged, random) if until is None else (),
        end,
        {int(place): item for place, item in zip(ends, unwanted, strict=True)},
        counts,
    )


def _active(histories: Histories, since: float, end: float) -> int:
    """Return how many users did something in between."""
    assert histories.times is not None
    return sum(bool(((times > since) & (times <= end)).any()) for times in histories.times)


def _new_sequences(
    histories: Histories, since: float, end: float, context: int, size: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each active user's new items behind at most `context` earlier ones, in parts of at most `size`."""
    sequences, flags = [], []
    assert histories.times is not None
    for items, times in zip(histories.items, histories.times, strict=True):
        first, last = np.searchsorted(times, [since, end], side="right")
        step = max(size - context, 1)
        for start in range(int(first), int(last), step):
            stop, begin = min(start + step, int(last)), max(start - context, 0)
            learned = np.arange(begin, stop) >= start
            sequences.append(items[begin:stop])
            flags.append(learned)
    return sequences, flags


def _replayed(
    histories: Histories, since: float, wanted: int, size: int, random: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return random pieces of what was learned before, about as many interactions as are wanted."""
    assert histories.times is not None
    pieces: list[np.ndarray] = []
    for user in random.permutation(len(histories)):
        if wanted <= 0:
            break
        old = histories.items[user][: int(np.searchsorted(histories.times[user], since, side="right"))]
        if len(old) < 2:
            continue
        start = int(random.integers(0, max(len(old) - size, 0) + 1))
        piece = old[start : start + min(size, wanted + 1)]
        pieces.append(piece)
        wanted -= len(piece)
    return pieces, [np.arange(len(piece)) > 0 for piece in pieces]


def _refused(
    histories: Histories, refusals: Sequence[Refusal], since: float, end: float, context: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Return for each refusal what its user had before, with any item behind it, which stands for what was not wanted."""
    assert histories.times is not None
    places = {user: place for place, user in enumerate(histories.user_ids)}
    sequences, unwanted = [], []
    for refusal in refusals:
        if not since < refusal.time <= end or refusal.user not in places:
            continue
        user = places[refusal.user]
        before = int(np.searchsorted(histories.times[user], refusal.time, side="right"))
        read = histories.items[user][max(before - max(context, 1), 0) : before]
        if len(read) and refusal.item not in histories.items[user]:
            sequences.append(np.append(read, refusal.item))
            unwanted.append(refusal.item)
    return sequences, [np.arange(len(one)) == len(one) - 1 for one in sequences], unwanted


def _targets(histories: Histories, end: float, most: int, random: np.random.Generator) -> tuple[Target, ...]:
    """Return interactions behind a moment whose users had something before, an even sample of them."""
    assert histories.times is not None
    found = [
        Target(items[:place], int(items[place]))
        for items, times in zip(histories.items, histories.times, strict=True)
        for place in range(int(np.searchsorted(times, end, side="right")), len(items))
        if place > 0
    ]
    chosen = np.sort(random.permutation(len(found))[:most])
    return tuple(found[place] for place in chosen)
