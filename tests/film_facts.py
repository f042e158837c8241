"""The embedded facts about films are read once a process: each opening of a shipped checkpoint takes seconds for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recommender import assets
from recommender.config import FactsConfig
from recommender.data import facts_join


@pytest.fixture(scope="session", autouse=True)
def embedded_facts_are_read_once() -> Iterator[None]:
    """Keep the rows of embedded tables, which never change; other tables are read anew."""
    read, kept = facts_join.read_facts, {}

    def once(config: FactsConfig):
        if not assets.is_embedded(config.table):
            return read(config)
        name = f"{config.table} {config.layout.model_dump_json()}"
        if name not in kept:
            kept[name] = read(config)
        return kept[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts_join, "read_facts", once)
        yield
