"""A request that can be answered: what the engine found of it in the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from recommender.engine.ranking import Signals
from recommender.engine.requests import Request
from recommender.numerics.turns import Turn
from recommender.prompting.example import Example


@dataclass(frozen=True)
class CheckedRequest:
    """A request that can be answered. `history` [n] and `allowed` bool [items] are of the catalogue; `k`: how many items
    its list will have, at most as many as are allowed; `turns`: of the domains of a list in turn."""

    request: Request
    history: np.ndarray
    allowed: torch.Tensor
    prompt: Example
    signals: Signals
    k: int
    turns: Sequence[Turn] = ()
