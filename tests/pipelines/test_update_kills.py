"""An update that is killed at any moment leaves a whole checkpoint, the old one or the new one, and can be done again."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from recommender.files import locked
from recommender.model.checkpoint import from_pretrained
from recommender.model.manifest import read_manifest
from recommender.pipelines import update
from recommender.pipelines.versions import kept_versions, read_log, roll_back
from tests.pipelines.test_update import FAST, base, come_back, world

__all__ = ["base", "world"]  # fixtures
SETTINGS = FAST.model_copy(update={"epochs": 2, "margin": 1.0})  # always goes live


def updating(world):
    """Start an update in a process of its own."""
    process = os.fork()
    if not process:
        try:
            update.update_checkpoint(world, 500, settings=SETTINGS)
            os._exit(0)
        finally:
            os._exit(1)
    return process


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_a_killed_update_leaves_the_old_version_or_the_new_one(world, catalogue, histories, kills):
    come_back(world, catalogue, histories)
    before, began = from_pretrained(world).metrics.get("until"), time.monotonic()
    _, status = os.waitpid(updating(world), 0)
    longest = time.monotonic() - began
    assert status == 0 and kept_versions(world)
    roll_back(world)
    outcomes = set()
    for kill in range(kills):
        process = updating(world)
        # most of the time is training: every other kill falls into the end, where files are exchanged
        time.sleep(random.Random(kill).uniform(0 if kill % 2 else 0.7 * longest, 1.1 * longest))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        with locked(world, "looking"):  # what a killed writer had set aside is back
            read_manifest(world)
        for version in kept_versions(world):
            read_manifest(version)
        live = from_pretrained(world).metrics.get("until") != before
        outcomes.add(live)
        assert all(row["live"] for row in read_log(world))
        if live:
            roll_back(world)
            assert from_pretrained(world).metrics.get("until") == before
    assert False in outcomes
    assert update.update_checkpoint(world, 500, settings=SETTINGS).live  # and it can be done again
