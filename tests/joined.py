"""A tiny joined catalogue: the first half of the items are films, the second half products."""

from __future__ import annotations

from dataclasses import replace

from recommender.data.catalogue import Catalogue
from tests.conftest import ITEMS, wide_checkpoint

FILMS = ITEMS // 2


def joined_checkpoint(folder, catalogue, features):
    """Return a checkpoint of films and products."""
    joined = Catalogue(
        replace(item, attributes={**item.attributes, "domain": ("films" if n < FILMS else "products",)})
        for n, item in enumerate(catalogue)
    )
    checkpoint = wide_checkpoint(folder, joined, features, 1)
    checkpoint.config = checkpoint.config.updated({"prompt.noun": "films and products"})
    return checkpoint


def letters(ids):
    """Return f or p for each id."""
    return "".join("f" if int(item) - 100 < FILMS else "p" for item in ids)
