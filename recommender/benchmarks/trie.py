"""The trie at growing sizes: how long it takes to build and to edit, its memory, and what one step of a search costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from recommender.benchmarks.measuring import measured
from recommender.decoding import Beams
from recommender.progress import Progress
from recommender.trie import Trie

LEVELS, SIZE, FAN_OUT = 4, 4096, 16
BEAMS, SEARCHES, REPEATS = 50, 32, 50


def clustered_codes(items: int, seed: int = 0) -> np.ndarray:
    """Return unique codes [items, LEVELS], int32, in random order; a prefix goes on with at most `FAN_OUT` codes.

    What a step costs depends on the fan-out, so it is the same for every number of items; the first level grows.
    Raises ValueError for more items than there are codes.
    """
    room = SIZE * FAN_OUT ** (LEVELS - 1)
    if items > room:
        raise ValueError(f"{items} items; there are codes for {room}")
    rng = np.random.default_rng(seed)
    number = rng.permutation(min(items * 3 // 2 + 1, room))[:items]
    codes = np.empty((items, LEVELS), dtype=np.int32)
    for level in range(LEVELS):
        prefix, digit = np.divmod(number // FAN_OUT ** (LEVELS - 1 - level), FAN_OUT)
        codes[:, level] = (digit * 61 + prefix * 977) % SIZE if level else number // FAN_OUT ** (LEVELS - 1)
    return codes


def bench_trie(
    sizes: Sequence[int], rounds: int = 20, seed: int = 0, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Return a row for each number of items: build in seconds, memory in 10^6 bytes, a step and an edit in milliseconds.

    A step is what a search of `BEAMS` beams does at a level beside the model: children, log-probabilities, one top-k.
    """
    rows, steps = [], {}
    for number, items in enumerate(sizes):
        if progress:
            progress("building tries", number, len(sizes))
        codes = clustered_codes(items, seed)
        start = time.perf_counter()
        trie = Trie.from_codes(codes, (SIZE,) * LEVELS)
        built = time.perf_counter() - start
        rows.append({"items": items, "build s": built, "MB": trie.megabytes, "edit ms": _edit(trie)})
        steps[str(items)] = _Steps(trie, seed)
    timings = measured(steps, rounds)
    for row in rows:
        timing = timings[str(row["items"])]
        row |= {"step ms": 1000 * timing.median / REPEATS / (LEVELS - 1), "spread": timing.spread}
        row["of the first"] = timing.median / timings[str(sizes[0])].median
    return rows


def _edit(trie: Trie) -> float:
    """Return the milliseconds that taking one item out needs."""
    start = time.perf_counter()
    trie.without_items([int(trie.order[trie.items // 2])])
    return 1000 * (time.perf_counter() - start)


class _Steps:
    """`REPEATS` steps at each level but the first, from random states; other ones each time, as other users have."""

    def __init__(self, trie: Trie, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.trie, self.turn = trie, 0
        self.logp = torch.log_softmax(torch.randn(1, BEAMS, SIZE, generator=generator), -1)
        bounds = list(zip(trie.starts[1:LEVELS], trie.starts[2:], strict=False))
        self.states = [torch.randint(first, end, (SEARCHES, 1, BEAMS), generator=generator) for first, end in bounds]

    def __call__(self) -> None:
        beams = Beams(1, self.trie, torch.device("cpu"))
        for _ in range(REPEATS):
            self.turn = (self.turn + 1) % SEARCHES
            for level, states in enumerate(self.states, start=1):
                beams.states, beams.scores = states[self.turn], torch.zeros(1, BEAMS)
                beams.extend(self.logp, self.trie, level, None, BEAMS)
