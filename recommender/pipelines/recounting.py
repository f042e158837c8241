"""Counts that rank along, counted anew from what is known now; the weights that they rank with stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recommender.baselines import FitData, ItemContent, make_baseline
from recommender.baselines.fusion.stored import LANGUAGE_MODEL, StoredFusion
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features


def recounted(
    stored: StoredFusion, catalogue: Catalogue, features: Features, known: Sequence[np.ndarray], seed: int
) -> StoredFusion:
    """Return a fusion whose baselines, and the counts of a gate, come from histories [users] of catalogue indices."""
    documents = [catalogue.document(item) for item in range(len(catalogue))]
    content = ItemContent(documents, lambda: features.without("collaborative"))
    data = FitData(known, len(catalogue), content, seed)
    baselines = {}
    for name in stored.weights:
        if name != LANGUAGE_MODEL:
            baselines[name] = make_baseline(name)
            baselines[name].fit(data)
    gate = None if stored.gate is None else stored.gate.recounted(known, len(catalogue))
    return StoredFusion(baselines, stored.weights, gate)
