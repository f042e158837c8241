"""Stores with a master key, on SQLite, and on PostgreSQL where one can be started."""

from __future__ import annotations

import pyrage
import pytest

from recommender.store.master_keys import new_master_key
from recommender.store.store import Store, StoreOptions


@pytest.fixture
def master(tmp_path):
    path = tmp_path / "master.keys"
    new_master_key(path, "first")
    return path


@pytest.fixture
def where(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def open_store(where, master):
    """Open the store of this test again, as another process would."""
    stores = []

    def opened(**options):
        stores.append(Store.open(where, master, StoreOptions(**options)))
        return stores[-1]

    yield opened
    for store in stores:
        store.engine.dispose()


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture
def means():
    """What a backup is encrypted for, and opened with: faster than a passphrase."""
    identity = pyrage.x25519.Identity.generate()
    return {"recipient": str(identity.to_public())}, {"identity": str(identity)}
