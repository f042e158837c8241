"""Whom every training leaves out: people whom a store was told to forget, and those who do not agree to training."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recommender.config import Config
from recommender.data.histories import Histories
from recommender.errors import DataError, import_extra

if TYPE_CHECKING:
    from recommender.store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedStore:
    """Which store says who was forgotten, and where its master key is, where the config does not say it."""

    where: str
    master_key: str | None = None


STORE = "RECOMMENDER_STORE"


def without_the_forgotten(config: Config, histories: Histories, named: NamedStore | None = None) -> Histories:
    """Return the histories of those whom training may learn from, going by a store.

    It is the named one, else `serving.store` of the config, else what RECOMMENDER_STORE names; without any all are
    returned. Users of the table are known by their ids, or by their pseudonyms in a table that the store exported. Raises
    DataError if nobody is left, and what opening the store raises.
    """
    where = named.where if named else config.serving.store or os.environ.get(STORE)
    if not where:
        return histories
    master_key = (named.master_key if named else None) or config.serving.master_key
    import_extra("sqlalchemy", "the store of people who were forgotten", "store")
    from recommender.store.store import Store, StoreOptions

    store = Store.open(where, master_key, StoreOptions(config.serving.consent))
    try:
        may = may_learn_from(store, histories)
    finally:
        store.let_go()
    if may.all():
        return histories
    logger.warning("%d of %d users are left out: forgotten, or against training", int((~may).sum()), len(may))
    if not may.any():
        raise DataError(f"{where}: no user of the interactions agrees to training", "see `recommender consent show`")
    return histories.chosen(may)


def may_learn_from(store: Store, histories: Histories) -> np.ndarray:
    """Return of which users a store lets training learn, bool [users]."""
    agree, known = store.consents.who_agrees("train"), store.consents.known()
    people = (user if user in known else store.people.pseudonym(user) for user in histories.user_ids)
    return np.fromiter(map(agree, people), bool, len(histories))
