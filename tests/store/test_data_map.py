"""The data map tells of every table and column that there is, and of retention as it is configured."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect

from recommender.config import ServingConfig
from recommender.store.data_map import data_map
from recommender.store.tables import metadata


def test_every_table_and_column_of_a_store_is_told_of(store):
    told = {place.name: place for place in data_map(ServingConfig())}
    inspector = inspect(store.engine)
    kept = set(inspector.get_table_names()) - {"alembic_version"}
    assert kept == set(metadata.tables)
    for name in kept:
        place = told[name]
        assert place.what and place.kept and place.forgotten and place.sealed in ("yes", "no", "partly", "hashed")
        assert set(place.columns) == {column["name"] for column in inspector.get_columns(name)}
        assert all(place.columns.values()), f"a column of {name} is not described"


def test_what_is_personal_is_sealed_and_is_said_to_be(store):
    for name, table in metadata.tables.items():
        if "sealed" in table.columns:
            assert table.info["sealed"] == "yes", name


@pytest.mark.parametrize(("days", "said"), [(None, "for ever"), (30, "30 days")])
def test_retention_is_that_of_the_config(days, said):
    places = {place.name: place for place in data_map(ServingConfig(event_days=days, feedback_days=days))}
    assert places["events"].kept == f"serving.event_days: {said}"
    assert places["feedback"].kept == f"serving.feedback_days: {said}"


def test_files_outside_the_store_are_told_of():
    names = {place.name for place in data_map(ServingConfig())}
    assert {"checkpoint", "traces", "batches", "backups", "encodings", "master keys"} <= names
