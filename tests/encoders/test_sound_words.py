"""Words for sounds: what is made to be loud, bright or busy is called so, and nothing is said of what lies between."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.sound_words import END, FEWEST, WORDS, SoundMeter, describe_sounds, save_words, words_of
from recommender.errors import DataError
from tests.data.made_videos import make_video

RATE = 16_000
TIME = np.arange(3 * RATE) / RATE
LOUDNESS, BRIGHTNESS, EVENTS, PERCUSSION, DYNAMICS, BASS, NOISE = range(7)


def tone(hertz=440.0, level=0.2):
    return (level * np.sin(2 * np.pi * hertz * TIME)).astype(np.float32)


def clicks(a_second):
    sound, length = np.zeros(len(TIME), np.float32), RATE // 50
    burst = np.random.default_rng(0).normal(size=length) * np.linspace(1, 0, length) ** 2
    for start in range(RATE // 10, len(sound) - length, int(RATE / a_second)):
        sound[start : start + length] += 0.3 * burst
    return sound


def noise(level=0.1):
    return (level * np.random.default_rng(1).normal(size=len(TIME))).astype(np.float32)


def measured(*sounds):
    return SoundMeter().measure(sounds)


@pytest.mark.parametrize(
    ("measure", "less", "more"),
    [
        (LOUDNESS, tone(level=0.02), tone(level=0.4)),
        (BRIGHTNESS, tone(200), tone(3000)),
        (EVENTS, clicks(1), clicks(6)),
        (PERCUSSION, tone(), clicks(4)),
        (DYNAMICS, tone(), tone() * np.linspace(0.02, 1, len(TIME), dtype=np.float32)),
        (BASS, tone(1000), tone(80)),
        (NOISE, tone(), noise()),
    ],
)
def test_each_measure_tells_what_it_is_named_for(measure, less, more):
    low, high = measured(less, more)[:, measure]
    assert low < high


def test_loudness_is_in_decibels_and_brightness_in_hertz():
    rows = measured(tone(level=0.4), tone(level=0.04))
    assert rows[0, LOUDNESS] - rows[1, LOUDNESS] == pytest.approx(20, abs=0.1)
    assert rows[0, LOUDNESS] == pytest.approx(20 * np.log10(0.4) - 3.01, abs=0.1)
    assert rows[0, BRIGHTNESS] == pytest.approx(440, abs=60)


def test_a_word_is_true_of_a_fifth_at_most_and_ties_have_none():
    random = np.random.default_rng(0)
    measures = random.normal(size=(104, len(WORDS))).astype(np.float32)
    measures[:, DYNAMICS] = 1.0
    words = words_of(measures)
    counts = {word: sum(word in own for own in words) for pair in WORDS for word in pair if word}
    assert counts.pop("even") == counts.pop("dynamic") == 0
    assert set(counts.values()) == {int(END * 104)}
    loudest = int(measures[:, LOUDNESS].argmax())
    assert "loud" in words[loudest] and "quiet" not in words[loudest]


def test_of_few_sounds_and_of_broken_measures_nothing_is_said():
    measures = np.arange((FEWEST - 1) * len(WORDS), dtype=np.float32).reshape(FEWEST - 1, len(WORDS))
    assert words_of(measures) == [()] * (FEWEST - 1)
    enough = np.vstack([np.concatenate([measures, measures]), np.full((1, len(WORDS)), np.nan, np.float32)])
    words = words_of(enough)
    assert words[-1] == () and any(words)


@pytest.fixture
def catalogue(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(12)]
    for number, path in enumerate(paths):
        soundfile.write(path, tone(200 + 200 * number, 0.01 * (number + 1)), RATE)
    items = [Item(str(number), f"Song {number}", audio=path) for number, path in enumerate(paths)]
    return Catalogue([*items, Item("none", "Without")])


def test_a_catalogue_is_described_through_the_cache(catalogue, tmp_path, monkeypatch):
    words = describe_sounds(catalogue, EncodersConfig(cache=str(tmp_path / "cache")))
    assert {"quiet", "dark"} <= set(words[0]) and {"loud", "bright"} <= set(words[11]) and words[12] == ()
    monkeypatch.setattr(SoundMeter, "measure", lambda *_: pytest.fail("measured again"))
    assert describe_sounds(catalogue, EncodersConfig(cache=str(tmp_path / "cache"))) == words


def test_a_video_is_described_by_its_sound_track(catalogue, tmp_path):
    loud = make_video(tmp_path / "loud.mp4")
    mute = make_video(tmp_path / "mute.mp4", tone=None)
    still = make_video(tmp_path / "still.mp4", volume=0.0)
    videos = [Item("still", "Still", video=still), Item("loud", "Film", video=loud), Item("mute", "Mute", video=mute)]
    config = EncodersConfig(cache=str(tmp_path / "cache"))
    words = describe_sounds(Catalogue([*catalogue, *videos]), config)
    assert words[-2] and not words[-1] and not words[-3]
    alone = Catalogue([Item("mute", "Silent film", video=mute)])
    with pytest.raises(DataError, match="no item has a sound of its own"):
        describe_sounds(alone, config)


def test_a_silent_sound_is_one_clear_error(catalogue, tmp_path):
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    items = [replace(item, audio=silent) if item.item_id == "3" else item for item in catalogue]
    with pytest.raises(DataError, match=r"3.*silent\.wav: the sound is silent"):
        describe_sounds(Catalogue(items), EncodersConfig(cache=str(tmp_path / "cache")))


def test_the_table_joins_to_its_catalogue_and_an_empty_one_is_refused(catalogue, tmp_path):
    path = tmp_path / "sounds.jsonl"
    save_words(path, ["a", "b"], {"sound": [("quiet", "dark"), ()]})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"item_id": "a", "sound": ["quiet", "dark"]}
    ]
    with pytest.raises(DataError, match="no item has a sound"):
        save_words(tmp_path / "none.jsonl", ["a"], {"sound": [()]})
    assert not (tmp_path / "none.jsonl").exists()
