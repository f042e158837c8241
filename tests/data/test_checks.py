from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender.config import DataConfig
from recommender.data.catalogue import Catalogue
from recommender.data.checks import ValidationReport, validate
from recommender.data.histories import Histories
from recommender.data.tables import Problem
from recommender.errors import DataError
from tests.data.made_videos import cut_in_half, make_video


def picture(path, seed):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def jsonl(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def found(report):
    return [(problem.kind, problem.row, problem.field, problem.severity) for problem in report.problems]


@pytest.fixture
def tables(tmp_path):
    """Ten item rows and their media, almost each with a fault of its own; eight interactions likewise."""
    picture(tmp_path / "a.png", 0)
    picture(tmp_path / "b.png", 0)
    picture(tmp_path / "c.png", 1)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "flat.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "c.png").read_bytes()[:100])
    tone = np.sin(np.arange(8000) / 20).astype(np.float32)
    soundfile.write(tmp_path / "loud.wav", np.clip(3 * tone, -1, 1), 8000)
    soundfile.write(tmp_path / "mute.wav", 0 * tone, 8000)
    soundfile.write(tmp_path / "good.wav", 0.5 * tone, 8000)
    (tmp_path / "text.wav").write_text("no sound" * 20)
    items = [
        {"item_id": "1", "title": "Good", "description": "Fine", "image": "a.png", "audio": "good.wav"},
        {"item_id": "1", "title": "Again", "description": "Twice"},
        {"item_id": " ", "title": "No id", "description": "Lost"},
        "{broken",
        {"item_id": "2", "title": "<b>Bold</b>", "description": "--", "image": "b.png"},
        {"item_id": "3", "title": "", "description": "Fine", "image": "absent.png", "audio": "mute.wav"},
        {"item_id": "4", "title": "Four", "description": "Fine", "image": "broken.png", "audio": "loud.wav"},
        {"item_id": "5", "title": "Five", "description": "Fine", "image": "flat.png", "audio": "text.wav"},
    ]
    jsonl(tmp_path / "items.jsonl", items)
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,timestamp,rating\nu,1,1,5\nu,2,2,five\nu,9,3,5\n,1,4,5\nu,1,soon,5\nu,1\nu,1,1,4\nu,1,7,\n"
    )
    return tmp_path


def test_every_problem_is_reported(tables):
    report = validate(tables, tables)
    assert sorted(found(report)[:14]) == sorted(
        [
            ("duplicate-id", 2, "item_id", "error"),
            ("empty-id", 3, "item_id", "error"),
            ("bad-json", 4, "", "error"),
            ("html", 5, "title", "warning"),
            ("blank-text", 5, "description", "warning"),
            ("blank-title", 6, "title", "warning"),
            ("missing-media", 6, "image", "error"),
            ("duplicate-image", 5, "image", "warning"),
            ("broken-media", 7, "image", "error"),
            ("blank-image", 8, "image", "warning"),
            ("silent-audio", 6, "audio", "warning"),
            ("clipped-audio", 7, "audio", "warning"),
            ("broken-media", 8, "audio", "error"),
            ("bad-rating", 3, "rating", "error"),
        ]
    )
    assert found(report)[13:] == [
        ("bad-rating", 3, "rating", "error"),
        ("unknown-item", 4, "item_id", "error"),
        ("empty-id", 5, "user_id", "error"),
        ("bad-time", 6, "timestamp", "error"),
        ("bad-row", 7, "", "error"),
        ("bad-rating", 9, "rating", "warning"),
        ("duplicate-interaction", 8, "item_id", "warning"),
    ]
    assert not report.ok
    assert (report.items, report.images, report.sounds) == (5, 5, 4)
    assert (report.users, report.interactions) == (1, 5)


def test_the_report_is_json_and_text(tables):
    report = validate(tables, tables)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["ok"] is False
    assert len(plain["problems"]) == len(report.problems) == sum(plain["counts"].values())
    assert plain["problems"][0].keys() >= {"source", "row", "field", "kind", "reason", "severity"}
    text = report.render()
    assert "items.jsonl, line 2: item_id: duplicate item id '1', first in line 1" in text
    assert "interactions.csv, line 4: item_id: unknown item id '9'" in text


def test_media_may_be_left_out_and_progress_is_told(tables):
    assert not {"broken-media", "duplicate-image"} & set(validate(tables, None, media=False).counts)
    told = []
    validate(tables, None, progress=lambda *step: told.append(step))
    assert told[-1] == ("checking audio files", 4, 4)
    assert ("checking image files", 5, 5) in told


def test_good_tables_are_ok_and_load(tmp_path):
    jsonl(tmp_path / "items.jsonl", [{"item_id": n, "title": f"T{n}", "description": "Fine"} for n in range(3)])
    (tmp_path / "interactions.csv").write_text("user_id,item_id,position\nu,0,0\nu,1,1\nu,0,2\n")
    report = validate(tmp_path, tmp_path)
    assert (report.ok, report.problems) == (True, ())
    assert (report.items, report.users, report.interactions) == (3, 1, 3)
    assert "no errors" in report.render()


def test_a_table_with_errors_does_not_load(tables):
    with pytest.raises(DataError, match="items.jsonl, line 2: item_id: duplicate"):
        Catalogue.load(tables)
    jsonl(tables / "items.jsonl", [{"item_id": "1"}, {"item_id": "2"}])
    with pytest.raises(DataError, match="interactions.csv, line 3: rating: 'five' is not a number"):
        Histories.load(tables, Catalogue.load(tables))


def test_what_cannot_be_read_at_all_is_one_problem(tmp_path):
    (tmp_path / "items.csv").write_text("name\nx\n")
    report = validate(tmp_path / "items.csv", tmp_path / "none.csv")
    assert [problem.kind for problem in report.problems] == ["missing-column", "unreadable"]
    assert "none.csv" in report.render()
    assert "data.columns.item_id" in report.render()


def test_the_text_is_capped_and_the_data_is_not(tmp_path):
    (tmp_path / "items.csv").write_text("item_id\n" + "1\n" * 100)
    report = validate(tmp_path / "items.csv")
    assert report.counts["duplicate-id"] == 99
    assert len([problem for problem in report.problems if problem.kind == "duplicate-id"]) == 99
    assert "... and 94 more; --all lists them" in report.render()
    for shown in (99, None):
        assert report.render(shown).count("duplicate item id") == 99 and "more; --all" not in report.render(shown)
        assert report.render(shown).count("hint: item ids must be unique") == 1  # below the last of those it is of


def test_a_hint_stands_below_the_row_that_it_is_of():
    rows = [Problem("t.csv", row, "id", "odd", f"row {row}", hint=hint) for row, hint in enumerate("aabcc", start=1)]
    lines = [line.strip() for line in ValidationReport(tuple(rows)).render().splitlines()]
    told = [line if "hint" in line else line[-5:] for line in lines if "row " in line or "hint" in line]
    assert told == ["row 1", "row 2", "hint: a", "row 3", "hint: b", "row 4", "row 5", "hint: c"]


def test_without_items_interactions_are_still_checked(tmp_path):
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\nu,1,x\n")
    report = validate(tmp_path / "none.csv", tmp_path / "interactions.csv")
    assert report.counts == {"unreadable": 1, "bad-time": 1}


def test_ties_and_missing_times_are_warned_of_with_their_rows(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,description\n1,a,x\n2,b,x\n3,c,x\n")
    (tmp_path / "i.csv").write_text("user_id,item_id,timestamp\nu,1,5\nu,2,5\nu,3,6\nv,1,5\nv,1,5\n")
    report = validate(tmp_path / "items.csv", tmp_path / "i.csv")
    assert report.ok and report.counts == {"duplicate-interaction": 1, "tied-time": 1}
    assert [p.reason for p in report.problems if p.kind == "tied-time"] == [
        "several items of a user at one time, so the file decides their order: lines 2, 3"
    ]
    (tmp_path / "i.csv").write_text("user_id,item_id\nu,1\nu,2\n")
    report = validate(tmp_path / "items.csv", tmp_path / "i.csv")
    assert report.ok and report.counts == {"no-time": 1}


def test_nanoseconds_that_differ_are_no_duplicates(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,description\n1,a,x\n")
    (tmp_path / "i.csv").write_text("user_id,item_id,timestamp\nu,1,1600000000000000001\nu,1,1600000000000000002\n")
    assert validate(tmp_path / "items.csv", tmp_path / "i.csv").counts == {}


def test_users_5_and_5_0_are_one(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,description\n1.0,a,x\n2,b,x\n")
    (tmp_path / "i.csv").write_text("user_id,item_id,position\n5.0,1,0\n5,2.0,1\n")
    report = validate(tmp_path / "items.csv", tmp_path / "i.csv")
    assert (report.ok, report.users, report.interactions) == (True, 1, 2)


def test_a_report_of_rows_that_are_dropped_is_ok(tables):
    for name in ("broken.png", "text.wav"):
        (tables / name).unlink()
    report = validate(tables / "items.jsonl", tables / "interactions.csv", DataConfig(on_error="drop"))
    assert report.ok and "rows with errors are left out, as data.on_error says" in report.render()
    assert not validate(tables / "none.jsonl", None, DataConfig(on_error="drop")).ok


def test_media_are_dropped_in_the_report_as_they_are_in_training(tmp_path):
    cut_in_half(make_video(tmp_path / "cut.webm"))
    rows = [{"item_id": name, "title": f"T {name}", "video": name} for name in ("absent.mp4", "cut.webm")]
    jsonl(tmp_path / "items.jsonl", rows)
    data = DataConfig(on_error="drop")
    report = validate(tmp_path, None, data)
    assert ("missing-media", 1, "video", "warning") in found(report)  # the item stays, without its video
    assert Catalogue.load(tmp_path, data)[0].video is None
    assert ("broken-media", 2, "video", "warning") in found(report)
    assert report.ok and "no errors" in report.render()
    assert not validate(tmp_path, None).ok


def test_videos_are_watched(tmp_path):
    make_video(tmp_path / "good.mp4")
    make_video(tmp_path / "mute.mp4", tone=None)
    cut_in_half(make_video(tmp_path / "cut.webm"))
    make_video(tmp_path / "sound.mp4", scenes=())
    names = ["good.mp4", "mute.mp4", "cut.webm", "sound.mp4", "absent.mp4"]
    rows = [{"item_id": n, "title": f"T{n}", "description": "Fine", "video": name} for n, name in enumerate(names)]
    jsonl(tmp_path / "items.jsonl", rows)
    told = []
    report = validate(tmp_path, None, progress=lambda *step: told.append(step))
    assert found(report) == [
        ("missing-media", 5, "video", "error"),
        ("soundless-video", 2, "video", "warning"),
        ("broken-media", 3, "video", "error"),
        ("broken-media", 4, "video", "error"),
    ]
    assert report.videos == report.to_dict()["videos"] == 5 and told[-1] == ("checking video files", 5, 5)
    assert "5 items (0 images, 0 sounds, 5 videos)" in report.render()
    assert "cut.webm: a damaged video" in report.render() and "mute.mp4 is soundless" in report.render()
