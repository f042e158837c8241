"""The weights that make targets most likely among a user's unseen items: a conditional logit (McFadden, 1974)."""

from __future__ import annotations

import torch
from torch import Tensor

PENALTY = 1e-3
"""Times the sum of squared weights, added to the loss."""


def logit_weights(views: Tensor, seen: Tensor, targets: Tensor) -> Tensor:
    """Return the weights [views] of what speaks for each item, `views` [users, items, views].

    `seen`, bool [users, items]: no choice; `targets` [users]: what was chosen. The problem is convex, so the same input
    gives the same weights.
    """
    weights = torch.full((views.shape[2],), 1.0 / views.shape[2], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = (views @ weights).masked_fill(seen, -torch.inf)
        loss = torch.nn.functional.cross_entropy(logits, targets) + PENALTY * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()
