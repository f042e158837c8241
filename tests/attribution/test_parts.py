"""Regions and windows, and how they are drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from recommender.attribution.drawing import heat_map, signed, waveform
from recommender.attribution.moments import Windows, window_edges
from recommender.attribution.moments import silence as quiet
from recommender.attribution.regions import Regions
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from tests.media_files import picture, sound


def test_regions_cover_every_pixel_once_and_the_rest_stays():
    whole = picture(1)
    regions = Regions.of(whole, 3, 4)
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in regions.boxes)
    assert len(regions) == len(regions.boxes) == 12 and area == whole.width * whole.height
    np.testing.assert_array_equal(regions.showing(np.ones(12, bool)), whole)
    shown = np.arange(12) == 5
    left, top, right, bottom = regions.boxes[5]
    pixels, before = np.asarray(regions.showing(shown)).copy(), np.asarray(whole)
    np.testing.assert_array_equal(pixels[top:bottom, left:right], before[top:bottom, left:right])
    pixels[top:bottom, left:right] = 0
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 2  # the mean colour elsewhere
    blurred = np.asarray(Regions.of(whole, 3, 4, "blur").showing(~shown))
    assert np.ptp(blurred[top:bottom, left:right]) < np.ptp(before[top:bottom, left:right]) / 2


def test_a_picture_of_few_pixels_has_no_empty_region():
    regions = Regions.of(Image.new("RGB", (3, 2)), 4, 4)
    assert (regions.rows, regions.columns) == (2, 3)
    assert all(right > left and bottom > top for left, top, right, bottom in regions.boxes)


def test_windows_are_a_second_long_and_bounded_in_number():
    np.testing.assert_allclose(window_edges(SAMPLE_RATE * 4, 30), [0, 1, 2, 3, 4])
    assert len(window_edges(SAMPLE_RATE * 90, 30)) == 31 and len(window_edges(1, 30)) == 2


@pytest.mark.parametrize("window_seconds", [30.0, 1.0])
def test_all_windows_together_are_the_vector_of_the_sound(audio_file, window_seconds):
    encoder = AudioEncoder(str(audio_file), window_seconds)
    samples = encoder.prepare(sound(2.7))
    windows = Windows.of(samples, encoder, 30)
    whole, silent = windows.hearing(np.array([[True] * 3, [False] * 3]))
    np.testing.assert_allclose(whole, encoder.encode([samples])[0], atol=1e-4)
    np.testing.assert_allclose(silent, encoder.encode([quiet(samples)])[0], atol=1e-4)
    part = windows.silenced(np.array([True, False, True]))
    assert len(part) == len(samples) and not part[int(1.0 * SAMPLE_RATE) : int(1.7 * SAMPLE_RATE)].any()
    np.testing.assert_array_equal(part[: int(0.8 * SAMPLE_RATE)], samples[: int(0.8 * SAMPLE_RATE)])


def test_what_raises_is_orange_and_what_lowers_is_blue(audio_file):
    values = np.array([0.5, -0.5, 0.0])
    drawn = Image.open(io.BytesIO(heat_map(Regions.of(Image.new("RGB", (90, 30), "grey"), 1, 3), values)))
    red, _, blue = (np.asarray(drawn, np.int16)[:20].mean(0)[:, channel] for channel in range(3))
    assert red[20] > blue[20] + 50 and blue[drawn.width // 2] > red[drawn.width // 2] + 50
    assert abs(red[-20] - blue[-20]) < 5
    windows = Windows.of(sound(3.0), AudioEncoder(str(audio_file)), 3)
    wave = np.asarray(Image.open(io.BytesIO(waveform(windows, values))), np.int16)
    assert wave[2, 40, 0] > wave[2, 40, 2] + 50 and wave[2, 400, 2] > wave[2, 400, 0] + 50


def test_nats_are_written_short():
    assert [signed(v) for v in (0.123, -1.0, 0.0042, 0.0)] == ["+0.12", "-1.00", "+0.004", "+0"]
