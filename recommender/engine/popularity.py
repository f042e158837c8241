"""How popular each item is to a model: its score for somebody of whom nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recommender.errors import RecommenderError

if TYPE_CHECKING:
    from recommender.engine.engine import Engine

#: items up to which all are scored where ids have several levels: that takes a pass for some hundred of them
MOST_SCORED = 20_000


def popularity(engine: Engine) -> np.ndarray:
    """Return log p(item | nothing is known), float32 [items].

    Raises RecommenderError for a large catalogue whose ids have several levels: to score all of it takes minutes.
    """
    items = len(engine.catalogue)
    if engine.builder.code_tokens.shape[1] > 1 and items > MOST_SCORED:
        message = f"the popularity of {items:,} items is not known where ids have several levels"
        raise RecommenderError(message, "use one level: semantic_ids.levels 1")
    return engine.score([np.zeros(0, np.int64)], range(items))[0]
