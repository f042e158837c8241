"""The learning rate of a stage: a linear warm-up, then a cosine down to a tenth of the peak.

Not transformers' `cosine_with_min_lr`: its first step has rate 0, and its variant `_with_warmup_lr_rate` is one step ahead
in the cosine, so stages of a few steps would learn otherwise.
"""

from __future__ import annotations

import math

LOWEST = 0.1
"""Share of the peak at the end."""


def learning_rate_share(step: int, total: int, warmup_ratio: float) -> float:
    """Return the share of the peak learning rate at a step, counted from 0, of `total` steps."""
    warmup = max(round(warmup_ratio * total), 1)
    if step < warmup:
        return (step + 1) / warmup
    angle = math.pi * (step - warmup) / max(total - warmup, 1)
    return LOWEST + (1 - LOWEST) / 2 * (1 + math.cos(angle))
