"""Scores of one item with other vectors in the place of its own: what explains a picture asks for by the hundred.

With one code an item the vectors change its row of the softmax and nothing else, unless a prompt holds the item: so all
share one prefill, and only the item's own row is computed anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recommender.config import Modality
from recommender.inference.beam_search import last_states, score
from recommender.inference.weight_cache import WeightCache
from recommender.prompting.example import Example

#: prompts that are read together
_PROMPTS = 16


@torch.no_grad()
def score_replaced(
    weights: WeightCache,
    prompt: Example,
    item: int,
    modality: Modality,
    vectors: np.ndarray,
    instruction: np.ndarray | None = None,
) -> np.ndarray:
    """Return the log-probabilities [n] of an item behind a prompt with each of `vectors` [n, width] as its own.

    Where the prompt holds the item it reads them too. With several levels an item's rows are those of its codes, which no
    vector changes, so only what the prompt reads does. `instruction` as in `beam_search.rank`.
    """
    held = bool((prompt.items == item).any())
    prompts = [_holding(prompt, item, modality, vector) for vector in vectors] if held else [prompt]
    groups = [prompts[start : start + _PROMPTS] for start in range(0, len(prompts), _PROMPTS)]
    if weights.model.ids.levels > 1:
        scores = np.concatenate([score(weights, group, [item], instruction=instruction)[:, 0] for group in groups])
        return np.broadcast_to(scores, len(vectors)).copy()
    states = torch.cat([last_states(weights, group, instruction) for group in groups])
    rows = weights.model.rows_with(item, modality, torch.from_numpy(vectors).to(weights.model.device))
    return _log_probabilities(weights, states, item, rows).cpu().numpy()


def _holding(prompt: Example, item: int, modality: Modality, vector: np.ndarray) -> Example:
    """Return a prompt that reads an item of its history with another vector."""
    own = {**prompt.overrides.get(item, {}), modality: vector}
    return replace(prompt, overrides={**prompt.overrides, item: own})


def _log_probabilities(weights: WeightCache, states: Tensor, item: int, rows: Tensor) -> Tensor:
    """Return float32 [n]: the log-softmax of one item whose row is each of `rows` [n, hidden], the other rows as they are.

    `states` [1 or n, hidden]: at the end of the prompts.
    """
    logits = weights.code_logits(states, 0).double()
    logits[:, int(weights.model.ids.codes[item, 0])] = -torch.inf
    others = logits.logsumexp(1)
    own = (states * rows).sum(1).double()
    return (own - torch.logaddexp(others.expand_as(own), own)).float()
