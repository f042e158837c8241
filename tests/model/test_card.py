"""The card says what was really read, and how to train it again."""

from __future__ import annotations

import pytest

from recommender.config import Config
from recommender.model.card import write_card
from recommender.model.checkpoint import record, save_pretrained


def card(tmp_path, encoded, **changes):
    config = Config().updated({key.replace("__", "."): value for key, value in changes.items()})
    write_card(tmp_path / "README.md", config, {}, 20, encoded)
    return (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("encoded", "said"),
    [
        ({"text": 20, "image": 20, "audio": 20}, "text `all-minilm-l6-v2`, image `efficientnet-lite0`, audio `whisper"),
        ({"text": 20, "image": 7}, "image `efficientnet-lite0` (7 of 20 items), collaborative vectors of width 64; no"),
        ({"text": 20}, "text `all-minilm-l6-v2`, collaborative vectors of width 64; no item has image or audio |"),
        ({}, "| encoders | collaborative vectors of width 64; no item has text or image or audio |"),
    ],
)
def test_encoders_are_listed_for_what_the_catalogue_has(tmp_path, encoded, said):
    assert said in card(tmp_path, encoded)


def test_encoders_that_are_off_are_not_missing(tmp_path):
    assert "no item has" not in card(tmp_path, {"text": 20}, encoders__image=None, encoders__audio=None)


def test_what_an_older_checkpoint_read_is_not_known(tmp_path):
    assert "image `efficientnet-lite0`, audio `whisper-tiny.en`, coll" in card(tmp_path, None)


def test_a_saved_checkpoint_counts_what_its_items_have(make_checkpoint, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "model")
    record(tmp_path / "model", "note", 1)
    assert "(19 of 20 items)" in (tmp_path / "model" / "README.md").read_text()


def test_items_that_were_added_without_training_are_told(tmp_path, config):
    write_card(tmp_path / "README.md", config, {"extended_by": 3}, 20)
    text = (tmp_path / "README.md").read_text()
    assert "| added items | 3 of the 20" in text and "without training" in text
    assert "holds every setting that it was trained with" not in text and "makes another model" in text
    rows = text[text.index("| part |") : text.index("## Training")].strip().splitlines()
    assert all(row.startswith("|") for row in rows)
    write_card(tmp_path / "README.md", config, {}, 20)
    text = (tmp_path / "README.md").read_text()
    assert "added" not in text and "holds every setting that it was trained with" in text
    assert "|\n| whole recipe" in text and "|\n| encoders" in text
