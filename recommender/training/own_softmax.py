"""What a model itself expects at each interaction, as soft targets: training that stays close to them keeps what it knew.

The proximal term of PESO (Yoo et al., "Continual low-rank adapters for LLM-based generative recommender systems", ICLR
2026): the new adapter pays for each step away from the softmax of the one before, on the same prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from recommender.config import StageConfig
from recommender.model import RecommenderModel
from recommender.model.soft_targets import SoftTargets
from recommender.progress import Progress
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import IGNORE
from recommender.training.epochs import as_batch, batches

MOST = 100


@torch.no_grad()
def own_softmax(
    model: RecommenderModel,
    builder: ExampleBuilder,
    histories: Sequence[np.ndarray],
    learned: np.ndarray,
    weight: float,
    refused: Mapping[int, int] | None = None,
    progress: Progress | None = None,
) -> SoftTargets:
    """Return the likeliest items of a model of one level at each learned interaction, bool [interactions of all histories].

    `weight`: the share of the loss, below 1. `refused`: interaction -> an item that was shown there and not wanted: what is
    expected is then the softmax without it, and nothing else counts, after the unlikelihood of Welleck et al. (ICLR 2020).
    """
    total, most = len(learned), min(MOST, len(model.codes))
    items, probabilities = torch.zeros(total, most, dtype=torch.int32), torch.zeros(total, most, dtype=torch.float16)
    starts = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    examples = [
        builder.ranking(history, interaction_ids=np.arange(start, start + len(history)))
        for history, start in zip(histories, starts, strict=False)
        if len(history) and learned[start : start + len(history)].any()
    ]
    stage = StageConfig(stage="rank", batch_tokens=2048, row_tokens=1024)
    model.eval()
    for rows in batches(examples, stage, builder.prefix):
        batch = as_batch(rows, builder.prefix).to(model.device)
        labelled = (batch.labels != IGNORE) & (batch.interaction_ids >= 0)
        ids = batch.interaction_ids[labelled].cpu()
        wanted = torch.from_numpy(learned[ids.numpy()])
        if not wanted.any():
            continue
        hidden = model.final_states(batch)
        expected = model.code_logits(hidden[labelled][wanted.to(model.device)], 0).float().softmax(-1).cpu()
        _without_refused(expected, ids[wanted], refused or {}, model.codes[:, 0].cpu())
        best = expected.topk(most, dim=1)
        items[ids[wanted]] = model.items_by_code[best.indices.to(model.device)].cpu().to(torch.int32)
        probabilities[ids[wanted]] = (best.values / best.values.sum(1, keepdim=True)).half()
        if progress:
            progress("what the model expects", int((probabilities[:, 0] > 0).sum()), int(learned.sum()))
    targets = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *histories]))
    shares = torch.full((total,), weight)
    if refused:
        shares[torch.tensor(list(refused))] = 1.0
    return SoftTargets(targets, items, probabilities, shares)


def _without_refused(expected: Tensor, ids: Tensor, refused: Mapping[int, int], codes: Tensor) -> None:
    """Take refused items out of what is expected [labels, codes], in place."""
    for row, interaction in enumerate(ids.tolist()):
        if interaction in refused:
            expected[row, codes[refused[interaction]]] = 0.0
