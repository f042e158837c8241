"""What a server opens before it answers: its store, and the refusal to face a network without knowing whom it answers."""

from __future__ import annotations

import ipaddress

from recommender.config import ServingConfig
from recommender.errors import ConfigError
from recommender.store.store import Store, StoreOptions


def is_local(host: str) -> bool:
    """Return whether only this machine reaches a server that listens there."""
    if host in ("localhost", ""):
        return host == "localhost"
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def open_store(limits: ServingConfig) -> Store | None:
    """Open the store of a server; None for one that keeps nothing.

    Raises ConfigError for a server that others can reach and that would ask nobody who they are, unless it is to be so;
    DataError and ConfigError as `Store.open` does.
    """
    store = None
    if limits.store is not None:
        options = StoreOptions(limits.consent, limits.event_days, limits.feedback_days, limits.impression_days)
        store = Store.open(limits.store, limits.master_key, options)
        store.sweep()
    if is_local(limits.host) or limits.insecure or limits.tokens is not None:
        return store
    if store is None or not store.keys.any():
        if store is not None:
            store.close()
        hint = "make one: recommender keys add NAME --scope recommend --store FILE; or say --insecure"
        raise ConfigError(f"{limits.host}: others could reach this server, and it has no keys to ask for", hint)
    return store
