from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender.data import standins
from recommender.data.catalogue import Catalogue, Item
from recommender.data.standins import Sheet, draw_card, make_standins, say_title
from recommender.errors import DataError, RecommenderError


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


def pixels(sheet):
    return np.asarray(Image.open(io.BytesIO(draw_card(sheet))).convert("RGB"), dtype=float)


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


def test_colours_tell_the_genre_and_tone_tells_the_year():
    comedy, other_comedy, horror = (
        pixels(Sheet("1", title, (genre,), 1995))[:80].mean((0, 1))
        for title, genre in (("Toy Story", "Comedy"), ("Babe", "Comedy"), ("Scream", "Horror"))
    )
    assert np.abs(comedy - other_comedy).max() < 12
    assert np.abs(comedy - horror).max() > 40
    new, old = (pixels(Sheet("1", "Emma", ("Comedy",), year))[:80] for year in (1998, 1932))
    assert np.ptp(new, axis=2).mean() > 2 * np.ptp(old, axis=2).mean()


def test_each_genre_has_a_band():
    picture = pixels(Sheet("1", "It", ("Comedy", "Horror"), 1990))
    alone = [pixels(Sheet("1", "It", (genre,), 1990))[20:60].mean((0, 1)) for genre in ("Comedy", "Horror")]
    for rows, colour in ((slice(10, 50), alone[0]), (slice(90, 130), alone[1])):
        distances = [np.abs(picture[rows].mean((0, 1)) - other).max() for other in alone]
        assert np.abs(picture[rows].mean((0, 1)) - colour).max() == min(distances)


def test_titles_are_legible():
    """White letters on a dark ground, inside the margins, whatever the length of the title."""
    for title in ("It", "Wallace & Gromit: The Best of Aardman Animation", "Donaudampfschifffahrt " * 9):
        bright = pixels(Sheet("1", title, ("Drama",), None))[120:].min(axis=2) > 200
        assert bright.sum() > 100
        assert not bright[:, :12].any()
        assert not bright[:, -12:].any()


def test_sound_follows_title_and_genre():
    def said(title, genres):
        spoken = []

        def speak(text, *voice):
            spoken.append((text, voice))
            return np.zeros(100, dtype=np.float32), 22_050

        say_title(speak, Sheet("1", title, genres, None))
        return spoken[0]

    assert said("Heat", ("Action", "Crime"))[0] == "Heat. Action, Crime"
    assert said("Heat", ())[0] == "Heat"
    assert said("Heat", ("Action",))[1] == said("Ronin", ("Action",))[1]
    assert said("Heat", ("Action",))[1] != said("Heat", ("Romance",))[1]


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written") as caught:
        make_standins(Catalogue([film("1")]), tmp_path / "file")
    assert "\n" not in caught.value.message


def test_without_synthesiser_the_extra_is_named(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(standins.shutil, "which", lambda name: None)
    with pytest.raises(RecommenderError) as caught:
        standins.speaker()
    assert "recommender[demo]" in caught.value.hint


def test_the_program_stands_in_for_the_library(monkeypatch):
    monkeypatch.undo()
    if standins.shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    samples, rate = standins.speaker()("Toy Story", "en-us+f3", 50, 170)
    assert rate == 22_050
    assert 0.3 < len(samples) / rate < 3


_SPEAK = """
import hashlib, sys
from recommender.data.standins import Sheet, say_title, speaker
for title in sys.argv[1:]:
    last = say_title(speaker(), Sheet("1", title, ("Comedy",), None))
print(hashlib.sha256(last).hexdigest())
"""


def test_the_library_says_the_same_after_whatever_it_said_before():
    pytest.importorskip("espeakng_loader")
    runs = (["Heat"], ["Toy Story", "Heat"], ["Heat", "Heat"])
    commands = ([sys.executable, "-c", _SPEAK, *titles] for titles in runs)
    hashes = {subprocess.run(command, capture_output=True, check=True, text=True).stdout for command in commands}
    assert len(hashes) == 1


def test_the_library_speaks_for_as_long_as_there_is_to_say(monkeypatch):
    monkeypatch.undo()
    pytest.importorskip("espeakng_loader")
    short, long = (
        soundfile.info(io.BytesIO(say_title(standins.speaker(), Sheet("1", title, ("Comedy",), None)))).duration
        for title in ("Heat", "Much Ado About Nothing by William Shakespeare")
    )
    assert 0.5 < short < long < 6
