"""Stand-in media for a whole catalogue: files, their names, and runs that go on where they stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender.data import standins
from recommender.data.catalogue import Catalogue, Item
from recommender.data.standins import make_standins, without_standins
from recommender.errors import DataError


def film(item_id, title="Toy Story", genres=("Animation", "Comedy"), year="1995"):
    return Item(item_id, title, attributes={"genres": tuple(genres), "year": (year,)})


@pytest.fixture(autouse=True)
def tone(monkeypatch):
    """A synthesiser that any machine has: a tone as long as the text and as high as the pitch."""

    def speak(text, voice, pitch, speed):
        return np.sin(np.arange(400 * len(text)) * pitch / 100).astype(np.float32) / 2, 22_050

    monkeypatch.setattr(standins, "speaker", lambda: speak)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_without_sounds_nothing_is_spoken(tmp_path, monkeypatch):
    monkeypatch.setattr(standins, "speaker", lambda: pytest.fail("a synthesiser was asked for"))
    (item,) = make_standins(Catalogue([film("1")]), tmp_path, sounds=False)
    assert item.image.is_file() and item.audio is None and not (tmp_path / "audio").exists()


def test_every_item_gets_a_picture_and_a_sound(tmp_path):
    catalogue = Catalogue([film("1"), film("../odd id/é", "x" * 300), Item("bare", "日本")])
    made = make_standins(catalogue, tmp_path)
    assert made.item_ids == catalogue.item_ids
    for item in made:
        assert item.image.parent == tmp_path / "images"
        assert item.audio.parent == tmp_path / "audio"
        with Image.open(item.image) as picture:
            assert (picture.size, picture.format) == ((224, 224), "JPEG")
        samples, rate = soundfile.read(item.audio)
        assert (rate, samples.ndim) == (16_000, 1)
        assert np.abs(samples).max() > 0.1
    assert "not real media" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert len(contents(tmp_path)) == 7


def test_ids_that_differ_only_in_unsafe_letters_have_files_of_their_own(tmp_path):
    made = make_standins(Catalogue([film("a/b"), film("a:b"), film("A_B"), film("a" * 300)]), tmp_path)
    assert len({item.image for item in made}) == 4
    assert all(item.image.is_file() for item in made)


def test_real_media_are_kept(tmp_path):
    real = replace(film("1"), image=tmp_path / "poster.jpg")
    made = make_standins(Catalogue([real]), tmp_path / "standins")
    assert made[0].image == tmp_path / "poster.jpg"
    assert made[0].audio.is_file()
    assert not (tmp_path / "standins" / "images").exists()


def test_a_video_needs_no_standins(tmp_path):
    filmed = replace(film("1"), video=tmp_path / "trailer.mp4")
    (made,) = make_standins(Catalogue([filmed]), tmp_path / "standins")
    assert (made.image, made.audio, made.video) == (None, None, filmed.video)


def test_a_broken_run_is_continued(tmp_path):
    catalogue = Catalogue([film(str(i), f"Film {i}") for i in range(4)])
    whole = make_standins(catalogue, tmp_path)
    before = contents(tmp_path)
    whole[1].image.unlink()
    whole[2].audio.unlink()
    kept = whole[0].image.stat().st_mtime_ns
    told = []
    make_standins(catalogue, tmp_path, lambda *args: told.append(args))
    assert contents(tmp_path) == before
    assert whole[0].image.stat().st_mtime_ns == kept
    assert told == [("drawing title cards", 1, 1), ("speaking titles", 1, 1)]


def test_a_changed_title_is_drawn_anew(tmp_path):
    old, new = (make_standins(Catalogue([film("1", title)]), tmp_path) for title in ("Heat", "Cold"))
    assert old[0].image != new[0].image


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written") as caught:
        make_standins(Catalogue([film("1")]), tmp_path / "file")
    assert "\n" not in caught.value.message


def test_stand_ins_are_told_from_media_of_ones_own(tmp_path):
    own = tmp_path / "own" / "a.png"
    own.parent.mkdir()
    own.write_bytes(b"")
    catalogue = Catalogue([Item("1", "Alien"), Item("2", "Heat", image=own)])
    filled = make_standins(catalogue, tmp_path / "standins", sounds=False)
    assert [item.image is not None for item in filled] == [True, True]
    assert [item.image for item in without_standins(filled)] == [None, own]
    (tmp_path / "standins" / "README.md").write_text("Pictures of my own")
    assert without_standins(filled)[0].image == filled[0].image
