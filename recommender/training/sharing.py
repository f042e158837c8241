"""How the processes of a training share a batch, and in which parts each computes its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recommender.prompting.example import Example
from recommender.prompting.packing import Batch
from recommender.prompting.sequences import sequences_of
from recommender.training.epochs import as_batch
from recommender.training.processes import Processes


def shared_parts(
    rows: Sequence[Sequence[Example]], processes: Processes, parts: int, prefix: np.ndarray
) -> list[Batch]:
    """Return one process's share of the rows of a batch, collated in at most `parts` parts, on the host.

    All processes get equally many parts, for in each part they may meet: one that has less reads a row again from which
    nothing is learned. For a GPU the parts lie in memory from which it copies by itself. `prefix`: as in `as_batch`.
    """
    share = processes.share(rows)
    parts = min(parts, -(-len(rows) // processes.count))
    on_gpu = processes.device.type == "cuda"
    batches = [_collated(part, prefix, on_gpu) for part in (share[number::parts] for number in range(parts)) if part]
    if len(batches) < parts:
        batches += [_collated(rows[:1], prefix, on_gpu).unlabelled()] * (parts - len(batches))
    return batches


def _collated(rows: Sequence[Sequence[Example]], prefix: np.ndarray, on_gpu: bool) -> Batch:
    batch = as_batch(rows, prefix)
    if not on_gpu:
        return batch
    return replace(batch, sequences=sequences_of(rows, len(prefix), batch.tokens.shape[1])).pin_memory()
