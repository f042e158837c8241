"""The trie at growing sizes: time to build and to edit, memory, and time of a search step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from recommender.benchmarks.measuring import measured, peak_megabytes
from recommender.constraints import Trie
from recommender.inference.beam_search import Beams
from recommender.progress import Progress

LEVELS, SIZE, FAN_OUT = 4, 4096, 16
BEAMS, SEARCHES, REPEATS, EDITS = 50, 32, 50, 20


def clustered_codes(items: int, seed: int = 0) -> np.ndarray:
    """Return unique codes [items, LEVELS], int32, in random order; at most `FAN_OUT` codes follow a prefix.

    The time of a step depends on the fan-out, so that is the same for every number of items; the first level grows.
    Raises ValueError for more items than there are codes.
    """
    room = SIZE * FAN_OUT ** (LEVELS - 1)
    if items > room:
        raise ValueError(f"{items} items; there are codes for {room}")
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(min(items * 3 // 2 + 1, room))[:items]
    codes = np.empty((items, LEVELS), dtype=np.int32)
    for level in range(LEVELS):
        prefix, digit = np.divmod(numbers // FAN_OUT ** (LEVELS - 1 - level), FAN_OUT)
        codes[:, level] = (digit * 61 + prefix * 977) % SIZE if level else numbers // FAN_OUT ** (LEVELS - 1)
    return codes


def bench_trie(
    sizes: Sequence[int], rounds: int = 20, seed: int = 0, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Return a row for each number of items: build in seconds, memory in 10^6 bytes, a step and an edit in milliseconds.

    `MB`: of the finished arrays; `peak MB`: the peak while building, beyond the codes. A step is the work of a search
    with `BEAMS` beams at one level outside the model: children, log-probabilities, one top-k.
    """
    rows, steps = [], {}
    for number, items in enumerate(sizes):
        if progress:
            progress("building tries", number, len(sizes))
        codes = clustered_codes(items, seed)
        (trie, seconds), peak = peak_megabytes(partial(_build, codes))
        rows.append(
            {"items": items, "build s": seconds, "MB": trie.megabytes, "peak MB": peak, "edit ms": _edit_ms(trie)}
        )
        steps[str(items)] = _Steps(trie, seed)
    timings = measured(steps, rounds)
    for row in rows:
        timing = timings[str(row["items"])]
        row |= {"step ms": 1000 * timing.median / REPEATS / (LEVELS - 1), "spread": timing.spread}
        row["of the first"] = timing.median / timings[str(sizes[0])].median
    return rows


def _build(codes: np.ndarray) -> tuple[Trie, float]:
    start = time.perf_counter()
    trie = Trie.from_codes(codes, (SIZE,) * LEVELS)
    return trie, time.perf_counter() - start


def _edit_ms(trie: Trie) -> float:
    """Return the milliseconds of an edit: half the time to remove an item and add it back, the median of `EDITS`.

    The first edit, which sets up the trie for edits, is left out.
    """
    seconds = []
    for item in np.linspace(0, trie.items - 1, EDITS + 1, dtype=np.int64):
        codes = trie.codes_of(torch.tensor([item])).numpy()
        start = time.perf_counter()
        trie = trie.without_items([item]).with_items([item], codes)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds[1:])) / 2


class _Steps:
    """`REPEATS` steps at each level but the first, each from other random states, as for other users."""

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
