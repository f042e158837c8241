"""Reads frames and the sound track of a video, by PyAV; a video that cannot be used is one clear error line.

The packets of a file are listed without being decoded; then only the frames that are wanted are, and so many seconds of
sound. So what is held in memory does not grow with the video.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recommender.data.media import (
    MOST_CHANNELS,
    MOST_SIDES,
    SOUND_RATES,
    audio_problems,
    image_problems,
    named_medium,
    reason_of,
)
from recommender.errors import DataError, import_extra
from recommender.numerics.sampling import evenly

VERSION = 1
"""To be raised whenever other frames or samples are read of a video, so that cached vectors of the old ones are not used."""
#: FFmpeg's names of what is read; playlists are not among them: they would choose which other files are opened
VIDEO_FORMATS = ("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg")
#: those whose header tells how long they are, or how many frames they have; of others FFmpeg guesses
_TELL_LENGTH, _TELL_FRAMES = {"mov", "matroska"}, {"avi"}
MOST_VIDEO_PIXELS = 10_000_000
"""Of a frame; 4K has nine million. A decoder may hold sixteen frames."""
CANDIDATES = 3
"""Key frames of each part of a video that are decoded, to take that with the most detail."""
_MOST_ON_THE_WAY = 300  # frames that are decoded to come from a key frame to a wanted one
_SHORTER_SIDE = 512  # pixels that are kept: image towers read 224 to 512
_DETAIL_SIDE = 128
_HINT = "save it as MP4 with H.264 and AAC, or leave the field blank"
_OTHER_FORMAT = "its format is not among those that are read: MP4, MOV, WebM, Matroska, AVI, MPEG, FLV, ASF, Ogg"


@dataclass
class _Survey:
    """The frames of a video as its packets tell them; times in units of the stream."""

    keys: list[int] = field(default_factory=list)
    """Of frames that can be decoded without others: at changes of scene, and every few seconds."""
    first: int | None = None
    last: int = 0
    frames: int = 0
    end: float = 0.0
    """When the last packet of any stream ends, in seconds."""

    def add(self, packet: Any, at: int) -> None:
        """Count a packet of the stream of frames."""
        self.first = at if self.first is None else min(self.first, at)
        self.last = max(self.last, at)
        self.frames += 1
        if packet.is_keyframe:
            self.keys.append(at)


def read_frames(path: Path, count: int) -> list[Image.Image]:
    """Return 1 to `count` frames of a video in their order: RGB, upright, of at most 512 pixels at the shorter side.

    They come from as many equal parts of its time. Of each, up to three key frames are decoded, or the one there is and the
    frame in the middle, and that with the most detail is taken: neither black nor blurred, if another is there. Raises
    DataError for what is no whole video with frames, and RecommenderError without PyAV.
    """
    survey = _survey(path)
    assert survey.first is not None
    count = min(count, survey.frames)
    edges = np.linspace(survey.first, survey.last + 1, count + 1)
    pictures: dict[int, Image.Image] = {}
    with _opened(path) as video:
        stream = _stream_of_frames(path, video)
        for start, stop in zip(edges, edges[1:], strict=False):
            found = dict(_frame_at(video, stream, at, survey) for at in _candidates(survey.keys, start, stop))
            inside = [when for when in found if start <= when < stop] or list(found)
            new = [when for when in inside if when not in pictures]  # of a slow video two parts may find one frame
            if new:
                best = max(new, key=lambda when: _detail(found[when]))
                pictures[best] = found[best]
    return [pictures[when] for when in sorted(pictures)]


def read_sound_track(path: Path, seconds: float, rate: int = 16_000) -> np.ndarray:
    """Return the first `seconds` of a video's sound as mono float32 [samples] at `rate` hertz.

    Raises DataError for what is no whole video, and for one without sound; RecommenderError without PyAV.
    """
    _survey(path)
    most = round(seconds * rate)
    parts: list[np.ndarray] = []
    read = 0
    with _opened(path) as video:
        stream = _stream_of_sound(path, video)
        if stream is None:
            raise DataError(f"{path}: the video has no sound", "leave the field blank, or give the sound in audio")
        resampler = _av(path).AudioResampler(format="flt", layout="mono", rate=rate)
        for frame in chain(video.decode(stream), [None]):  # None: what the resampler still holds
            blocks = [block.to_ndarray()[0] for block in resampler.resample(frame)]
            parts += blocks
            read += sum(map(len, blocks))
            if read >= most:
                break
    track = np.concatenate(parts)[:most] if parts else np.zeros(0, np.float32)
    if len(track) == 0:
        raise DataError(f"{path}: the sound of the video has no samples", "replace the file, or leave the field blank")
    if not np.isfinite(track).all():
        raise DataError(f"{path}: the sound of the video holds values that are no numbers", "replace the file")
    return np.ascontiguousarray(track, dtype=np.float32)


def check_frames(path: Path) -> None:
    """Raise DataError for what is no video with frames or lacks a decoder for them, by its header; RecommenderError without
    PyAV."""
    with _opened(path) as video:
        _stream_of_frames(path, video)


def has_sound_track(path: Path) -> bool:
    """Return whether a video has sound, from its header: nothing is decoded.

    Raises DataError for what is no video with frames, or lacks a decoder, and RecommenderError without PyAV.
    """
    with _opened(path) as video:
        _stream_of_frames(path, video)
        return _stream_of_sound(path, video) is not None


def video_problems(path: Path, frames: int, seconds: float) -> tuple[str, ...]:
    """Return what is wrong with a readable video: `blank`, and `soundless` or `silent`. Raises as `read_frames` does."""
    blank = all("blank" in image_problems(picture) for picture in read_frames(path, frames))
    found = ("blank",) if blank else ()
    if not has_sound_track(path):
        return (*found, "soundless")
    return (*found, "silent") if "silent" in audio_problems(read_sound_track(path, seconds)) else found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield PyAV's container of a file. Whatever is raised inside becomes a DataError that names it."""
    av = _av(path)
    name = named_medium(path, "the video")
    # one file, whatever its name and content say: neither addresses nor lists of other files
    only = {"format_whitelist": ",".join(VIDEO_FORMATS), "protocol_whitelist": "file"}
    limits = {"max_pixels": str(MOST_VIDEO_PIXELS), "threads": "1"}
    opened = False
    try:
        with av.open(
            f"file:{path.absolute()}", options=limits, container_options=only, metadata_errors="replace"
        ) as video:
            opened = True
            yield video
    except DataError:
        raise
    except Exception as error:  # on damaged bytes, each format's decoder fails in its own way
        if not opened and getattr(error, "errno", None) == errno.EINVAL:  # FFmpeg's word for what the list leaves out
            hint = f"{_HINT}; a picture belongs into image, a sound into audio"
            raise DataError(f"{name}: not a readable video ({_OTHER_FORMAT})", hint) from None
        reason = str(getattr(error, "strerror", None) or reason_of(error, name))
        raise DataError(f"{name}: not a readable video ({reason})", _HINT) from None


def _av(path: Path) -> Any:
    return import_extra("av", f"{path}: reading a video", "video", "leave the items' video blank")


def _survey(path: Path) -> _Survey:
    """List the packets of a video. Raises DataError for one without frames, and for one that ends before its time."""
    found = _Survey()
    with _opened(path) as video:
        frames = _stream_of_frames(path, video)
        for packet in video.demux():
            at = packet.pts if packet.pts is not None else packet.dts
            if at is None or not packet.size:
                continue
            found.end = max(found.end, float((at + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index == frames.index:
                found.add(packet, at)
        if not found.frames:
            raise _without_frames(path)
        _check_whole(path, video, frames, found)
    return found


def _check_whole(path: Path, video: Any, frames: Any, found: _Survey) -> None:
    """Raise DataError for a video with less than its header tells."""
    names = set(video.format.name.split(","))
    seconds = (video.duration or 0) / 1e6 if names & _TELL_LENGTH else 0.0
    if found.end < 0.9 * seconds - 0.2:
        raise DataError(f"{path}: a damaged video ({found.end:.1f} of {seconds:.1f} seconds)", "replace the file")
    if names & _TELL_FRAMES and found.frames < 0.9 * frames.frames - 1:
        raise DataError(f"{path}: a damaged video ({found.frames} of {frames.frames} frames)", "replace the file")


def _stream_of_frames(path: Path, video: Any) -> Any:
    """Return a video's first stream of frames; the cover of a sound is none. Raises DataError."""
    cover = _av(path).stream.Disposition.attached_pic
    streams = [stream for stream in video.streams.video if not stream.disposition & cover]
    if not streams:
        raise _without_frames(path)
    context = _decoder(path, streams[0], "frames")
    width, height = context.width, context.height
    if not 0 < width * height <= MOST_VIDEO_PIXELS:  # 0: the decoder refused what it found
        message = f"{path}: the video has no readable frames of at most {MOST_VIDEO_PIXELS:,} pixels"
        raise DataError(message, "scale it down (720 lines are plenty), or replace the file if it is damaged")
    if max(width, height) > MOST_SIDES * min(width, height):
        message = f"{path}: {width} x {height} pixels are no frame that an encoder can read"
        raise DataError(message, f"crop it: the longer side may be {MOST_SIDES} times the shorter one")
    return streams[0]


def _without_frames(path: Path) -> DataError:
    return DataError(f"{path}: the video has no frames", "if it is a sound, put it into the column audio")


def _stream_of_sound(path: Path, video: Any) -> Any | None:
    """Return a video's first stream of sound, None if it has none. Raises DataError."""
    if not video.streams.audio:
        return None
    stream = video.streams.audio[0]
    context = _decoder(path, stream, "sound")
    low, high = SOUND_RATES
    if not low <= context.sample_rate <= high or context.channels > MOST_CHANNELS:
        message = f"{path}: a sound track with {context.channels} channels of {context.sample_rate:,} samples a second"
        raise DataError(message, f"expected at most {MOST_CHANNELS} of {low:,} to {high:,}: save it with 1 of 16,000")
    return stream


def _decoder(path: Path, stream: Any, what: str) -> Any:
    """Return the decoder of a stream, bounded. Raises DataError if there is none."""
    context = stream.codec_context
    if context is None:
        raise DataError(f"{path}: PyAV has no decoder for the {what} of the video", _HINT)
    context.options = {"max_pixels": str(MOST_VIDEO_PIXELS)}
    context.thread_count = 1  # each thread would hold frames of its own
    return context


def _candidates(keys: list[int], start: float, stop: float) -> list[int]:
    """Return the times to look at between two: of some key frames, and the middle where there are none or one."""
    inside = [key for key in keys if start <= key < stop]
    if len(inside) > 1:
        return [inside[place] for place in evenly(len(inside), min(CANDIDATES, len(inside)))]
    return [*inside, int((start + stop) / 2)]


def _frame_at(video: Any, stream: Any, at: int, survey: _Survey) -> tuple[int, Image.Image]:
    """Return when the first frame from a time on is, or the last on the way to it, and the frame."""
    place = bisect_right(survey.keys, at)
    beginning = (survey.first or 0) - round(1 / stream.time_base)
    best = None
    # where a file has no index, seeking may end behind the key frame: then from an earlier one, or from the beginning
    for start in (at, *survey.keys[max(place - 2, 0) : place][::-1], beginning):
        video.seek(start, stream=stream)
        began, found = _decoded_until(at, video.decode(stream))
        best = found or best
        if found is not None and began <= at:
            break
    if best is not None:
        return _when(best, at), _upright(best, stream)
    raise ValueError(f"no frame at {float(at * stream.time_base):.1f} seconds")


def _decoded_until(at: int, frames: Iterator[Any]) -> tuple[int, Any | None]:
    """Return when the first frame is, and the frame at which a time is reached, or the last one that is looked at."""
    began, last = at, None
    for frame in islice(frames, _MOST_ON_THE_WAY):
        began = _when(frame, at) if last is None else began
        last = frame
        if _when(frame, at) >= at:
            break
    return began, last


def _when(frame: Any, otherwise: int) -> int:
    return next((int(time) for time in (frame.pts, frame.dts) if time is not None), otherwise)


def _upright(frame: Any, stream: Any) -> Image.Image:
    """Return a frame as an RGB picture with square pixels, turned as its file says, and scaled down."""
    aspect = float(stream.sample_aspect_ratio or 1)
    wide = frame.width * (aspect if 0.1 < aspect < 10 else 1.0)
    scale = min(1.0, _SHORTER_SIDE / min(wide, frame.height))
    width, height = max(1, round(wide * scale)), max(1, round(frame.height * scale))
    picture: Image.Image = frame.to_image(width=width, height=height, interpolation="AREA")
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def _detail(picture: Image.Image) -> float:
    """Return how much neighbouring pixels differ, on average: little in black, blurred and one-coloured frames."""
    small = picture.convert("L")
    small.thumbnail((_DETAIL_SIDE, _DETAIL_SIDE))
    shades = np.asarray(small, np.float32)
    return sum(float(np.abs(np.diff(shades, axis=axis)).mean()) for axis in (0, 1) if shades.shape[axis] > 1)
