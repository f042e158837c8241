"""Small videos for tests: one-coloured scenes with a white corner, and a tone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
SCENES = (RED, GREEN, BLUE, YELLOW)
FPS = 10
#: suffix -> the codecs of frames and sound, and the sound's rate
CODECS = {
    ".mp4": ("mpeg4", "aac", 44_100),
    ".mov": ("libx264", "aac", 44_100),
    ".webm": ("libvpx", "libopus", 48_000),
    ".avi": ("mpeg4", "libmp3lame", 44_100),
    ".ts": ("libx264", "aac", 44_100),
}


def make_video(
    path: Path,
    scenes: Sequence[tuple[int, int, int]] = SCENES,
    tone: float | None = 440.0,
    size: tuple[int, int] = (64, 48),
    scene_frames: int = FPS,
    turned: int = 0,
    corner: bool = True,
    volume: float = 0.5,
    options: dict[str, str] | None = None,
    mute_seconds: float = 0.0,
) -> Path:
    """Write a video of scenes of one colour, whose upper left quarter is white, of a second each, with a tone (hertz).

    `mute_seconds`: of silence before the tone.
    """
    codec, sound_codec, rate = CODECS[path.suffix]
    with av.open(str(path), "w", options=options or {}) as video:
        frames: Any = video.add_stream(codec, rate=FPS) if scenes else None
        sound: Any = video.add_stream(sound_codec, rate=rate, layout="mono") if tone else None
        if frames:
            frames.width, frames.height = size
            frames.pix_fmt = "yuv420p"
            if turned:
                frames.set_display_rotation(turned)
        for number in range(len(scenes) * scene_frames):
            frame = av.VideoFrame.from_ndarray(_scene(scenes[number // scene_frames], size, corner), format="rgb24")
            frame.pts = number
            video.mux(frames.encode(frame))
        if frames:
            video.mux(frames.encode(None))
        if tone:
            seconds = len(scenes) * scene_frames / FPS or 2.0
            levels = np.where(np.arange(round(seconds * rate)) < mute_seconds * rate, 0.0, volume)
            _add_tone(video, sound, rate, tone, levels)
    return path


def _scene(colour: tuple[int, int, int], size: tuple[int, int], corner: bool) -> np.ndarray:
    pixels = np.full((size[1], size[0], 3), colour, np.uint8)
    if corner:
        pixels[: size[1] // 2, : size[0] // 2] = 255
    return pixels


def _add_tone(video: Any, stream: Any, rate: int, hertz: float, levels: np.ndarray) -> None:
    samples = levels * np.sin(2 * np.pi * hertz * np.arange(len(levels)) / rate)
    whole = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
    whole.rate, whole.pts = rate, 0
    encoder = stream.codec_context
    cut = av.AudioResampler(encoder.format, "mono", rate, frame_size=encoder.frame_size or None)
    for part in (*cut.resample(whole), *cut.resample(None), None):
        video.mux(stream.encode(part))


def cut_in_half(path: Path) -> Path:
    """Take the second half of a file away."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path
