"""What is trained on leaves out media that cannot be read, if the recipe says so."""

from __future__ import annotations

import json

import pytest

from recommender.config import Config
from recommender.pipelines.train import load_catalogue
from tests.media_files import picture


@pytest.mark.parametrize(("on_error", "kept"), [("drop", [True, False]), ("stop", [True, True])])
def test_a_training_reads_its_items_without_broken_media_where_rows_with_errors_are_dropped(tmp_path, on_error, kept):
    picture(0).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    rows = [{"item_id": name, "title": f"T {name}", "image": f"{name}.png"} for name in ("good", "cut")]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"items": str(tmp_path / "items.jsonl"), "on_error": on_error}
    config = Config.model_validate({"data": data, "encoders": {"audio": None, "cache": str(tmp_path / "cache")}})
    assert [item.image is not None for item in load_catalogue(config)] == kept
