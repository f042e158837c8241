"""Few directions of a projector that a private training moves, chosen from what is public: the items.

Noise is as large in every direction, and the gradients of users are not: they lie where items differ, and where final states
lie. So a projector's last matrix is moved in these directions only, which cost nothing, as no user was asked. For gradients
that are projected so see Zhou et al., "Bypassing the ambient dimension: private SGD with gradient subspace identification",
ICLR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recommender.inference.item_bias import final_states
from recommender.model import RecommenderModel
from recommender.numerics.sampling import evenly
from recommender.prompting.builder import ExampleBuilder

#: items of whose histories of one item the final states are taken
_STATES = 512


@dataclass(frozen=True)
class Directions:
    """Where a matrix [out, in] may move: `left` [out, m] and `right` [in, n], both with orthonormal columns."""

    left: Tensor
    right: Tensor

    def within(self, gradient: Tensor) -> Tensor:
        """Return the part [m, n] of a gradient [out, in] that lies in the directions."""
        return self.left.T @ gradient @ self.right

    def whole(self, part: Tensor) -> Tensor:
        """Return the gradient [out, in] of a part [m, n]."""
        return self.left @ part @ self.right.T


@torch.no_grad()
def directions_of(
    model: RecommenderModel, builder: ExampleBuilder, content: int, states: int
) -> dict[nn.Parameter, Directions]:
    """Return the directions of the last matrix of each projector of one soft token: `content` by `states` of them.

    Content: those in which the inner layer of the projector differs most over the items. States: those of the final states
    after one item each. All are taken as they are when a training begins.
    """
    model.eval()
    sample = [np.array([item]) for item in evenly(len(model.codes), _STATES)]
    left = _leading(final_states(model, builder, sample), states)
    found = {}
    items = torch.arange(len(model.codes), device=model.device)
    for modality in model.modalities:
        projector = model.projectors[modality]
        inner = projector.inner(getattr(model, f"vectors_{modality}")[items].float()).flatten(0, 1)
        found[projector.leave.weight] = Directions(left, _leading(inner, content))
    return found


def _leading(rows: Tensor, count: int) -> Tensor:
    """Return the directions [width, count] in which rows [n, width] are longest; fewer if there are fewer."""
    return torch.linalg.svd(rows.float(), full_matrices=False).Vh[:count].T.contiguous()
