"""Frames and sound tracks of small videos, compared with what was encoded; and files that are no video."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender.data import video
from recommender.data.video import has_sound_track, read_frames, read_sound_track, video_problems
from recommender.errors import DataError, RecommenderError
from tests.data.made_videos import BLUE, CODECS, RED, SCENES, cut_in_half, make_video


def colours(pictures):
    """Return the colour of the lower right corner of each."""
    return np.array([picture.getpixel((picture.width - 4, picture.height - 4)) for picture in pictures])


def loudest(samples, rate=16_000):
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


def one_line_error(read, path):
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.message.count(str(path)) == 1 and "\n" not in str(caught.value) and caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("suffix", CODECS)
def test_each_quarter_gives_a_frame_and_the_track_is_the_tone(tmp_path, suffix):
    path = make_video(tmp_path / f"a{suffix}", tone=1000)
    np.testing.assert_allclose(colours(read_frames(path, 4)), SCENES, atol=12)
    first, second = (int(np.abs(np.array(SCENES) - one).sum(1).argmin()) for one in colours(read_frames(path, 2)))
    assert first in (0, 1) and second in (2, 3)
    assert has_sound_track(path)
    track = read_sound_track(path, 300)
    assert track.dtype == np.float32 and 3.9 < len(track) / 16_000 < 4.1
    assert abs(loudest(track) - 1000) < 2 and 0.4 < np.abs(track).max() < 0.6


def test_so_many_seconds_of_sound_are_read(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    assert len(read_sound_track(path, 1.25)) == 20_000
    assert np.array_equal(read_sound_track(path, 1.25), read_sound_track(path, 300)[:20_000])


def test_a_video_of_few_frames_gives_no_more(tmp_path):
    path = make_video(tmp_path / "a.mp4", scenes=(RED, BLUE), scene_frames=1, tone=None)
    np.testing.assert_allclose(colours(read_frames(path, 32)), (RED, BLUE), atol=12)


def test_a_frame_that_shows_something_is_preferred(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.webm", scenes=((0, 0, 0), RED), corner=True, tone=None)
    looked_at = []
    upright = video._upright
    monkeypatch.setattr(video, "_detail", lambda picture: float(picture.getpixel((60, 44))[0]))
    monkeypatch.setattr(video, "_upright", lambda *given: looked_at.append(upright(*given)) or looked_at[-1])
    np.testing.assert_allclose(colours(read_frames(path, 1)), [RED], atol=12)
    assert len(looked_at) > 1


def test_detail_tells_black_and_blurred_from_sharp(tmp_path):
    from PIL import Image, ImageFilter

    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    grades = [video._detail(p) for p in (Image.new("RGB", (64, 48)), sharp.filter(ImageFilter.GaussianBlur(3)), sharp)]
    assert grades[0] == 0 and grades == sorted(grades)


def test_frames_are_upright_and_scaled_down(tmp_path):
    turned = read_frames(make_video(tmp_path / "a.mp4", turned=90, tone=None), 1)[0]
    assert turned.size == (48, 64)
    assert min(turned.getpixel((3, 60))) > 240  # the white corner, which was at the upper left
    assert min(turned.getpixel((3, 3))) < 20
    large = read_frames(make_video(tmp_path / "b.mp4", size=(1600, 1200), scene_frames=1, tone=None), 1)[0]
    assert (large.mode, large.size) == ("RGB", (683, 512))


def test_few_frames_of_a_long_video_are_kept(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", scenes=SCENES * 5, tone=None)
    kept = []
    upright = video._upright
    monkeypatch.setattr(video, "_upright", lambda *given: kept.append(1) or upright(*given))
    assert len(read_frames(path, 3)) == 3 and len(kept) <= 3 * video.CANDIDATES


def test_the_way_to_a_frame_is_bounded(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mov", scenes=(RED,), scene_frames=60, tone=None)  # one key frame
    monkeypatch.setattr(video, "_MOST_ON_THE_WAY", 5)
    assert 1 <= len(read_frames(path, 4)) <= 2


@pytest.mark.parametrize("suffix", sorted(CODECS.keys() - {".ts"}))  # which tells no length
def test_a_truncated_video_is_an_error(tmp_path, suffix):
    path = cut_in_half(make_video(tmp_path / f"a{suffix}"))
    for read in (lambda p: read_frames(p, 4), lambda p: read_sound_track(p, 300)):
        assert "video" in one_line_error(read, path)


def test_a_truncated_video_whose_index_comes_first_is_an_error(tmp_path):
    path = cut_in_half(make_video(tmp_path / "a.mp4", options={"movflags": "faststart"}))
    assert "of 4.0 seconds" in one_line_error(lambda p: read_frames(p, 4), path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"no video at all" * 50, "not a readable video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\ngood.mp4\n#EXT-X-ENDLIST\n", "not a readable video"),
        (b"ffconcat version 1.0\nfile good.mp4\n", "not a readable video"),
    ],
)
def test_what_is_no_video_is_an_error_and_opens_no_other_file(tmp_path, content, reason):
    make_video(tmp_path / "good.mp4", scenes=(RED,))
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    for read in (has_sound_track, lambda p: read_frames(p, 4), lambda p: read_sound_track(p, 300)):
        assert reason in one_line_error(read, path)


@pytest.mark.parametrize("name", ["a.gif", "a.jpg", "a.wav"])
def test_a_picture_or_a_sound_is_told_which_formats_are_videos(tmp_path, name):
    path = tmp_path / name
    if name == "a.wav":
        soundfile.write(path, np.sin(np.arange(8000) / 20), 8000)
    else:
        Image.new("RGB", (64, 48), RED).save(path)
    for read in (has_sound_track, lambda p: read_frames(p, 4), lambda p: read_sound_track(p, 300)):
        assert "its format is not among those that are read: MP4, MOV" in one_line_error(read, path)


def test_a_name_that_looks_like_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "a.mp4", scenes=(RED,), tone=None).rename("concat:a|b.mp4")
    assert len(read_frames(type(tmp_path)("concat:a|b.mp4"), 1)) == 1


def test_a_video_without_frames_or_without_sound(tmp_path):
    path = make_video(tmp_path / "sound.mp4", scenes=())
    for read in (has_sound_track, lambda p: read_frames(p, 4), lambda p: read_sound_track(p, 300)):
        assert "has no frames" in one_line_error(read, path)
    mute = make_video(tmp_path / "mute.mp4", tone=None)
    assert not has_sound_track(mute)
    assert "has no sound" in one_line_error(lambda p: read_sound_track(p, 300), mute)


def test_codecs_that_are_not_there(tmp_path):
    path = make_video(tmp_path / "a.avi")
    good = path.read_bytes()
    path.write_bytes(good.replace(b"FMP4", b"ZQZQ"))
    assert "no decoder for the frames" in one_line_error(has_sound_track, path)
    path.write_bytes(good.replace(b"\x55\x00\x01\x00", b"\x99\x99\x01\x00"))
    assert "no decoder for the sound" in one_line_error(has_sound_track, path)


def test_frames_that_are_too_large_are_an_error(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", scenes=(RED,))
    monkeypatch.setattr(video, "MOST_VIDEO_PIXELS", 64 * 48 - 1)
    assert "of at most 3,071 pixels" in one_line_error(lambda p: read_frames(p, 4), path)


def test_problems_of_readable_videos(tmp_path):
    assert video_problems(make_video(tmp_path / "good.mp4"), 4, 300) == ()
    blank = make_video(tmp_path / "blank.mp4", scenes=(RED,), corner=False, tone=None)
    assert video_problems(blank, 4, 300) == ("blank", "soundless")
    assert video_problems(make_video(tmp_path / "mute.mp4", volume=0.0), 4, 300) == ("silent",)


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", scenes=(RED,))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RecommenderError, match=r"a\.mp4.* needs the package av.*recommender\[video\]"):
        read_frames(path, 1)
