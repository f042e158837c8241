"""Where items begin that another checkpoint knows already: at its embeddings of them, found by title and year.

What the other checkpoint learned of an item lies partly in its row and partly in projected vectors that this model may
lack, so whole embeddings are taken over: a row becomes what is missing to the other embedding.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.facts_join import by_title
from recommender.errors import ConfigError
from recommender.model import RecommenderModel
from recommender.model.checkpoint import from_pretrained
from recommender.pipelines.similar_items import content_similarity, offsets_of_similar
from recommender.progress import Progress

logger = logging.getLogger(__name__)
_YEARS_APART = 1


@torch.no_grad()
def take_over_rows(
    model: RecommenderModel, catalogue: Catalogue, config: Config, progress: Progress | None = None
) -> int:
    """Move the rows of a new model, in place, to where `base.adapter` has the items; returns how many it knows.

    Others begin beside the known items whose content is most like theirs. The checkpoint should be of the same base. Raises
    ConfigError if items share codes or none is known there, and what loading the checkpoint raises.
    """
    source, table = config.base.adapter, config.base.adapter_items
    assert source is not None and table is not None
    if model.ids.levels > 1:
        raise ConfigError(
            "base.adapter_items: with several levels items share rows, so none can be taken over",
            "set semantic_ids.levels: 1, or base.adapter_items: null",
        )
    other = from_pretrained(source, table, progress)
    places = _places(catalogue, other.catalogue)
    known = places >= 0
    if not known.any():
        raise ConfigError(
            f"base.adapter_items: none of the {len(catalogue)} items is in {table}, by title and year",
            "set it to null, or give both tables titles and years",
        )
    wanted = _wanted(model, catalogue, other.model.all_embeddings()[torch.from_numpy(places[known])], known)
    model.eval()
    rows = model.rows.detach().clone()
    model.rows.zero_()
    lacking = wanted.to(model.device) - model.all_embeddings()
    model.rows.copy_(rows)
    model.rows[model.codes[:, 0].to(model.rows.device)] = lacking.to(model.rows.device)
    logger.info("%d of %d items begin where %s has them", int(known.sum()), len(catalogue), source)
    return int(known.sum())


def _places(catalogue: Catalogue, other: Catalogue) -> np.ndarray:
    """Return for each item its place in the other catalogue, int64 [items]; -1 where it is not, or may be several."""
    find = by_title(list(other), _YEARS_APART)
    matches = [find(item) for item in catalogue]
    return np.array([m.rows[0] if m is not None and len(m.rows) == 1 else -1 for m in matches], np.int64)


def _wanted(model: RecommenderModel, catalogue: Catalogue, embeddings: Tensor, known: np.ndarray) -> Tensor:
    """Return where all items should lie, [items, hidden]; `embeddings` [known, hidden]: where the known ones do."""
    order = np.concatenate([np.flatnonzero(known), np.flatnonzero(~known)])
    wanted = embeddings.new_empty(len(catalogue), embeddings.shape[1])
    wanted[torch.from_numpy(known)] = embeddings
    if not known.all():
        documents = [catalogue.document(int(item)) for item in order]
        similarity = content_similarity(model.features.take(order), documents, int(known.sum()))
        beside = offsets_of_similar(embeddings, torch.from_numpy(similarity))
        wanted[torch.from_numpy(~known)] = embeddings.mean(0) + beside
    return wanted
