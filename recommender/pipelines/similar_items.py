"""How new items are like known ones, by content, and what of the known ones' embeddings they take over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from recommender.baselines.content import tfidf
from recommender.config import CONTENT_MODALITIES
from recommender.encoders.features import Features
from recommender.errors import DataError
from recommender.numerics.vectors import unit_rows
from recommender.semantic_ids import join_modalities

NEIGHBOURS = 10
TEMPERATURE = 0.2
"""How many similar items count, and how much their similarity decides: chosen on MovieLens-100K, see eval/LOG.md."""


def offsets_of_similar(embeddings: Tensor, similarity: Tensor) -> Tensor:
    """Return for each new item how the known items most like it differ from the mean, [new, hidden].

    `embeddings` [known, hidden]. Offsets have the mean length of a known item's distance from the mean.
    """
    offsets = embeddings - embeddings.mean(0)
    return nn.functional.normalize(mean_of_similar(offsets, similarity)) * offsets.norm(dim=1).mean()


def mean_of_similar(values: Tensor, similarity: Tensor) -> Tensor:
    """Return the weighted mean of `values` [known, width] over the known items most like each new one, [new, width]."""
    best = similarity.to(values.device).topk(min(NEIGHBOURS, similarity.shape[1]))
    return (torch.softmax(best.values / TEMPERATURE, dim=1)[..., None] * values[best.indices]).sum(1)


def content_similarity(features: Features, documents: Sequence[str], known: int) -> np.ndarray:
    """Return the similarity of new items to known ones, [new, known]: the sum of two cosines, of vectors and of TF-IDF."""
    vectors, words = unit_rows(content_of(features)), tfidf(documents)
    return np.asarray(vectors[known:] @ vectors[:known].T + (words[known:] @ words[:known].T).toarray(), np.float32)


def content_of(features: Features) -> np.ndarray:
    """Return the joined content vectors [items, width]. Raises DataError without an encoder of content."""
    content = {m: v for m, v in features.vectors.items() if m in CONTENT_MODALITIES}
    if not content:
        raise DataError("the model has no encoder of content, so new items cannot be compared", "train it with one")
    return join_modalities(replace(features, vectors=content, present={m: features.present[m] for m in content}))
