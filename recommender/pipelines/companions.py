"""Adds to a checkpoint the counts of what many people had together, without training it again."""

from __future__ import annotations

from pathlib import Path

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.errors import CheckpointError
from recommender.justify.companions import COMPANIONS, Companions
from recommender.model.checkpoint import CONFIG, resolve, save_copy_with
from recommender.model.manifest import catalogue_facts, check_target, read_manifest
from recommender.pipelines.fuse import check_same_interactions
from recommender.pipelines.private import refuse_private
from recommender.pipelines.train import companions_in, load_histories, split_of


def add_companions(source: str | Path, output: Path | None = None) -> Companions:
    """Count in the interactions that a checkpoint was trained on, and keep the counts in it, or in a copy at `output`.

    Raises CheckpointError, and DataError if the tables are not those that it was trained on.
    """
    refuse_private(source, "counts of what many had together")
    folder = resolve(source)
    output = output or folder
    check_target(output)
    manifest = read_manifest(folder)
    config = Config.load(folder / CONFIG)
    catalogue = Catalogue.load(config.data.items, config.data, media=False)
    if catalogue.fingerprint != catalogue_facts(folder, manifest)["fingerprint"]:
        raise CheckpointError(
            f"{folder}: made for another catalogue than {config.data.items} is now", "restore the table of items"
        )
    histories = load_histories(config, catalogue)
    check_same_interactions(source, config.data.interactions, histories, catalogue)
    counted = companions_in(split_of(config, histories).train, catalogue)
    save_copy_with(folder, output, {COMPANIONS: counted.save}, {})
    return counted
