"""Negatives of a sampled softmax: codes that stand for all codes of a level, each with how many it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Drawn:
    """Distinct codes int64 [n], ascending, and the log of how many codes each stands for [n]: its log-q correction.

    A sum over them, so weighted, is on average the sum over all codes of the level.
    """

    codes: Tensor
    log_weights: Tensor


class Negatives:
    """Draws codes of one level: half of the draws evenly, half by how often a code occurs; what came counts as drawn.

    The even half reaches every code, the other those that a softmax gives most to (Bengio and Senecal, "Adaptive importance
    sampling to accelerate training of a neural probabilistic language model", 2008). What came to others in the batch came
    by how often it occurs, too: so a row that is pulled up in a step is also held back in it.
    """

    def __init__(self, codes: int, counts: np.ndarray | None = None) -> None:
        """`codes`: how many there are; `counts` [codes]: how often each occurs, by default all are as likely."""
        self.codes = codes
        even = np.full(codes, 1 / codes)
        occurs = even if counts is None or not counts.sum() else counts / counts.sum()
        share = (even + occurs) / 2
        self._ends = torch.from_numpy(np.cumsum(share) / share.sum())
        self._share, self._occurs = torch.from_numpy(share), torch.from_numpy(occurs)

    def draw(self, number: int, came: Tensor) -> Drawn:
        """Draw `number` codes with replacement by torch's generator, beside those that `came` [labels] in the batch.

        All codes, each for itself, if there are no more than `number`.
        """
        if number >= self.codes:
            return Drawn(torch.arange(self.codes, device=came.device), torch.zeros(self.codes, device=came.device))
        places = torch.searchsorted(self._ends, torch.rand(number, dtype=torch.float64), right=True)
        found = torch.cat([places.clamp_max(self.codes - 1), came.cpu()])
        codes, times = found.unique(return_counts=True)
        likely = number * self._share[codes] + len(came) * self._occurs[codes]
        weights = times.double() / likely
        return Drawn(codes.to(came.device), weights.log().float().to(came.device))
