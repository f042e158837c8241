from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender.data.media import (
    MEDIA_FOLDERS,
    audio_problems,
    audio_seconds,
    content_hash,
    image_problems,
    is_within,
    keep_bytes,
    read_audio,
    read_image,
)
from recommender.errors import DataError
from tests.server.fuzzing import png, wav


def picture(size=(40, 20), seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def sine(rate, seconds=1.0, hertz=440.0, peak=0.5):
    return (peak * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def one_line_error(read, path):
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert caught.value.message.count(str(path)) == 1
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_picture_is_rgb_and_upright(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6  # taken with the camera on its side
    picture().save(tmp_path / "a.jpg", exif=tags)
    read = read_image(tmp_path / "a.jpg")
    assert (read.mode, read.size) == ("RGB", (20, 40))


def test_transparency_is_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_keep_their_shades(tmp_path):
    shades = np.array([[0, 32_768, 65_535]], dtype=np.uint16)
    Image.fromarray(shades).save(tmp_path / "a.png")
    assert [read_image(tmp_path / "a.png").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif"])
def test_a_truncated_picture_is_an_error(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    picture((200, 200)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "damaged" in one_line_error(read_image, path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "0 bytes"), (b"<html>404</html>", "not a picture"), (b"\xff\xd8\xff", "picture")],
)
def test_what_is_no_picture_is_an_error(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert reason in one_line_error(read_image, path)


def test_a_decompression_bomb_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    picture((40, 40)).save(path)
    for most in (1000, 100):  # Pillow warns above its limit and fails above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        assert "too many pixels" in one_line_error(read_image, path)


def test_an_absent_file_is_an_error(tmp_path):
    for read in (read_image, read_audio, content_hash):
        one_line_error(read, tmp_path / "none")


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
def test_a_sound_is_mono_at_the_wanted_rate(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([sine(rate), np.zeros(rate, np.float32)], axis=1), rate)
    heard = read_audio(path)
    assert heard.dtype == np.float32
    assert heard.shape == (16_000,)
    spectrum = np.abs(np.fft.rfft(heard))
    assert spectrum.argmax() == 440
    assert np.abs(heard[1000:-1000]).max() == pytest.approx(0.25, abs=0.01)  # the mean of both channels


def test_a_sound_may_keep_its_rate(tmp_path):
    soundfile.write(tmp_path / "a.flac", sine(8000), 8000)
    assert len(read_audio(tmp_path / "a.flac", None)) == 8000


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.raw"])
def test_text_is_no_sound(tmp_path, name):
    path = tmp_path / name
    path.write_text("this is a letter, not a song\n" * 50)
    assert "not a readable sound" in one_line_error(read_audio, path)


def test_sounds_without_content_are_errors(tmp_path):
    (tmp_path / "zero.wav").write_bytes(b"")
    assert "0 bytes" in one_line_error(read_audio, tmp_path / "zero.wav")
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 16_000)
    assert "no samples" in one_line_error(read_audio, tmp_path / "none.wav")
    samples = sine(16_000)
    samples[7] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    assert "no numbers" in one_line_error(read_audio, tmp_path / "nan.wav")


def test_a_truncated_sound_is_an_error(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 64_000).astype(np.float32), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    one_line_error(read_audio, path)


def test_faults_of_sounds():
    assert audio_problems(np.zeros(100, np.float32)) == ("silent",)
    assert audio_problems(sine(16_000, peak=1e-4)) == ("silent",)
    assert audio_problems(np.clip(sine(16_000, peak=3.0), -1, 1)) == ("clipped",)
    assert audio_problems(sine(16_000, peak=0.9)) == ()


def test_faults_of_pictures(tmp_path):
    Image.new("RGB", (32, 32), (120, 30, 200)).save(tmp_path / "flat.jpg")
    assert image_problems(read_image(tmp_path / "flat.jpg")) == ("blank",)
    assert image_problems(picture()) == ()


def test_the_hash_is_that_of_the_content(tmp_path):
    for name, content in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        (tmp_path / name).write_bytes(content)
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b") != content_hash(tmp_path / "c")


def test_bytes_are_kept_once(tmp_path):
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    first = keep_bytes(buffer.getvalue(), tmp_path / "media", ".png")
    assert keep_bytes(buffer.getvalue(), tmp_path / "media", ".png") == first
    assert read_image(first).size == (40, 20)
    assert len(list((tmp_path / "media").iterdir())) == 1


def refused(read, content):
    """Return the error for a content, which must cost next to nothing."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("size", "reason"),
    [((1, 65_000), "no picture"), ((65_000, 1), "no picture"), ((20_000, 20_000), "pixels"), ((2, 101), "no picture")],
)
def test_a_small_file_of_a_picture_that_would_be_large_is_refused_before_it_is_decoded(tmp_path, size, reason):
    content = png(*size)
    assert len(content) < 1000 and reason in refused(read_image, content)
    (tmp_path / "a.png").write_bytes(content)
    assert reason in refused(read_image, tmp_path / "a.png")


def test_long_pictures_within_reason_are_read():
    for size in ((1, 50), (500, 10), (40, 2000)):
        assert read_image(png(*size, rows=size[1])).size == size


@pytest.mark.parametrize("name", ["EPS", "ICO", "TGA", "PCX", "SGI", "JPEG2000", "IM"])
def test_formats_that_nobody_photographs_in_are_no_pictures(name):
    held = io.BytesIO()
    picture().save(held, name)
    assert "known format" in refused(read_image, held.getvalue())


def test_an_svg_is_no_picture():
    assert "known format" in refused(read_image, b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>')


@pytest.mark.parametrize("name", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_an_animation_one_frame_is_read(name):
    frames, held = [picture(seed=n) for n in range(40)], io.BytesIO()
    frames[0].save(held, name, save_all=True, append_images=frames[1:])
    assert read_image(held.getvalue()).size == (40, 20)


@pytest.mark.parametrize("rate", [0, 1, 7, 999, 384_001, 4_000_037, 2_147_483_647, 4_294_967_295])
def test_rates_that_no_recorder_has_are_refused_before_anything_is_computed(tmp_path, rate):
    content = wav(rate)
    for read in (read_audio, audio_seconds):
        refused(read, content)
    (tmp_path / "a.wav").write_bytes(content)
    refused(read_audio, tmp_path / "a.wav")


@pytest.mark.parametrize("channels", [0, 33, 1024, 65_535])
def test_channels_that_no_recorder_has_are_refused(channels):
    refused(read_audio, wav(channels=channels, seconds=0.001))


def test_a_length_that_only_the_header_has_takes_no_memory():
    for claimed in (2**31, 2**32 - 1):
        try:
            assert len(read_audio(wav(claimed=claimed))) == 320
        except DataError as error:
            assert "damaged" in error.message or "readable" in error.message
    flac = io.BytesIO()
    soundfile.write(flac, sine(8000), 8000, format="FLAC")
    content = bytearray(flac.getvalue())
    content[21:26] = bytes([content[21] | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF])  # 36 bits of samples in STREAMINFO
    assert "too long" in refused(read_audio, bytes(content))


def test_a_content_is_read_as_its_file_is(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.stack([sine(22_050), sine(22_050, hertz=300)], axis=1), 22_050)
    picture().save(tmp_path / "a.png")
    for read in (read_audio, read_image):
        path = tmp_path / ("a.flac" if read is read_audio else "a.png")
        assert np.array_equal(np.asarray(read(path)), np.asarray(read(path.read_bytes())))
    assert "the picture: not a picture" in refused(read_image, b"no")
    assert "the sound: not a readable sound" in refused(read_audio, b"no")
    assert "the picture: the file is empty" in refused(read_image, b"")


def test_media_lie_in_the_folder_of_their_table_or_where_the_user_allows_it(tmp_path, monkeypatch):
    data, other = tmp_path / "data", tmp_path / "other"
    for folder in (data, other):
        folder.mkdir()
        (folder / "a.png").write_bytes(png(3, 3, 3))
    (data / "link.png").symlink_to(other / "a.png")
    (data / "loop").symlink_to(data / "loop")
    assert is_within(data / "a.png", data) and is_within(data / "none.png", data)
    for path in (other / "a.png", data / ".." / "other" / "a.png", data / "link.png"):
        assert not is_within(path, data)
        with monkeypatch.context() as allowed:
            allowed.setenv(MEDIA_FOLDERS, f"{tmp_path / 'none'}:{other}")
            assert is_within(path, data)
