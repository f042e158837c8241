"""Items are added to a checkpoint in its place: known ones stay, new ones are listed, and there is a way back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.data.item_rows import Item
from recommender.engine import Recommender
from recommender.errors import CheckpointError, DataError
from recommender.pipelines import add_items as module
from recommender.pipelines.add_items import add_items
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.pipelines.versions import kept_versions, roll_back
from recommender.store.master_keys import new_master_key
from tests.data.made_videos import RED, make_video
from tests.pipelines.test_update import base, world

__all__ = ["base", "world"]  # fixtures
NEW = Item("new", "The red war", "Colours fight.", attributes={"genres": ("comedy", "war, cold"), "year": ("1990",)})


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_new_items_are_listed_and_the_way_back_is_open(world, catalogue):
    before, own_table = files(world), (world.parent / "items.csv").read_bytes()
    added = add_items(world, [NEW])
    assert added.ids == ("new",) and added.items == len(catalogue) + 1
    engine = Recommender.from_pretrained(world)
    assert engine.catalogue.item_ids == (*catalogue.item_ids, "new")
    kept = engine.catalogue[engine.catalogue.index("new")]
    assert (kept.title, kept.text, kept.attributes) == (NEW.title, NEW.text, NEW.attributes)
    listed = [item.item_id for item in engine.recommend([catalogue[0].item_id], k=20, explain=False)]
    assert "new" in listed
    assert (world.parent / "items.csv").read_bytes() == own_table
    roll_back(world)
    assert files(world) == before and "new" not in Recommender.from_pretrained(world).catalogue


def test_the_new_table_names_the_video_of_an_item(world):
    path = make_video(world.parent / "clip.mp4", scenes=(RED,))
    add_items(world, [replace(NEW, video=path)])
    catalogue = Recommender.from_pretrained(world).catalogue
    assert catalogue[catalogue.index("new")].video == path


def test_media_of_known_items_may_be_gone_and_those_of_new_ones_may_not(world):
    path = make_video(world.parent / "clip.mp4", scenes=(RED,))
    add_items(world, [replace(NEW, video=path)])
    path.unlink()
    assert add_items(world, [Item("later", "The blue stone")]).ids == ("later",)
    with pytest.raises(DataError, match="video: no such file: .*clip.mp4"):
        add_items(world, [Item("last", "The green stone", video=path)])


def test_tables_that_no_version_names_are_gone(world):
    for number in range(6):
        add_items(world, [Item(f"n{number}", f"The blue stone {number}")])
    tables = sorted(world.parent.glob("items.with-*.jsonl"))
    versions = [world, *kept_versions(world)]
    assert len(versions) == 4 and len(tables) == 4
    assert {Config.load(version / "config.yaml").data.items for version in versions} == set(map(str, tables))
    assert len(Recommender.from_pretrained(world).catalogue) == 26


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([], "no item to add"),
        ([Item("103", "The red night")], "item '103' is known already"),
        ([NEW, NEW], "stands twice"),
    ],
)
def test_what_cannot_be_added_changes_nothing(world, items, why):
    before = files(world)
    with pytest.raises(DataError, match=why):
        add_items(world, items)
    assert files(world) == before and not list(world.parent.glob("items.with-*"))


def test_a_failure_on_the_way_leaves_the_old_version_and_no_table(world, monkeypatch):
    before = files(world)
    monkeypatch.setattr(module, "save_pretrained", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError):
        add_items(world, [NEW])
    assert files(world) == before and not list(world.parent.glob("items.with-*"))


def test_what_came_with_the_package_is_not_changed():
    with pytest.raises(CheckpointError, match="came with the package"):
        add_items("movielens-100k", [NEW])


def test_commands(world, tmp_path):
    new_master_key(tmp_path / "keys", "a")
    (tmp_path / "more.jsonl").write_text(json.dumps({"item_id": "x", "title": "The green day", "year": 1990}) + "\n")
    run = CliRunner()
    added = run.invoke(app, ["items", "add", str(world), "--items", str(tmp_path / "more.jsonl"), "--json", "-q"])
    assert json.loads(added.stdout)["ids"] == ["x"]
    where = ["--store", str(tmp_path / "s.db"), "--master-key", str(tmp_path / "keys"), "--json"]
    out = run.invoke(app, ["items", "stock", str(world), "--out", "x,103", *where])
    assert json.loads(out.stdout) == {"out of stock": ["103", "x"]}
    assert json.loads(run.invoke(app, ["items", "stock", str(world), *where]).stdout) == {"out of stock": ["103", "x"]}
    unknown = run.invoke(app, ["items", "stock", str(world), "--out", "nothing", *where])
    assert unknown.exit_code and "knows no item 'nothing'" in str(unknown.exception)


def test_fused_baselines_know_the_new_items(world):
    config = Config.load(world / "config.yaml").updated({"training.keep_test_out": True})
    (world / "config.yaml").write_text(config.to_yaml())
    from recommender.model.manifest import write_manifest

    manifest = json.loads((world / "checkpoint.json").read_text())
    write_manifest(world, {name: value for name, value in manifest.items() if name != "files"})
    fuse_checkpoint(str(world), ["popularity"], world)
    add_items(world, [NEW])
    assert Recommender.from_pretrained(world).recommend(["103"], k=21, explain=False)
