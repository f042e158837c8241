"""Where the picture and the sound of each item come from, and how they become vectors: a file, or a part of its video."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import EncodersConfig, Modality
from recommender.data.catalogue import Catalogue, Item
from recommender.data.media import content_hash, read_audio, read_image
from recommender.data.video import check_frames, has_sound_track
from recommender.encoders.audio import SAMPLE_RATE
from recommender.encoders.cached_batches import Source, map_in_threads, naming_item
from recommender.encoders.encoder import Encoder
from recommender.encoders.video_parts import SoundTrack, VideoFrames, VideoPart
from recommender.encoders.views import VIEWS

log = logging.getLogger(__name__)
#: frames that are encoded together, at least
_AT_ONCE = 32
#: size and time of the videos that were said to have no sound
_TOLD: set[tuple[int, int]] = set()


class Frames(list[Any]):
    """The prepared frames of one video."""


def media_sources(
    catalogue: Catalogue, modality: Modality, videos: EncodersConfig | None = None
) -> list[Source | None]:
    """Return each item's picture or sound, None where it has none. Raises DataError naming item and file.

    `videos`: how those of items are read that have a video instead; None leaves them out. A picture or a sound of an item's
    own stays alone: its video is not read for that.
    """

    def source(index: int) -> Source | None:
        item = catalogue[index]
        path = item.image if modality == "image" else item.audio
        if path is not None:
            with naming_item(item.item_id, path):
                return Source(item.item_id, path, content_hash(path), path.stat().st_size)
        return None if videos is None or item.video is None else _of_video(item, item.video, modality, videos)

    sources = map_in_threads(source, range(len(catalogue)))
    if videos is not None and modality == "audio":
        _note_soundless([item for item, found in zip(catalogue, sources, strict=True) if found is None and item.video])
    return sources


def _of_video(item: Item, path: Path, modality: Modality, config: EncodersConfig) -> Source | None:
    """Return the part of an item's video that is its picture or sound, None for the sound of one without."""
    with naming_item(item.item_id, path):
        if modality == "image":
            check_frames(path)  # its sound may have a codec that is not there
        elif not has_sound_track(path):
            return None
        part = VideoFrames(path, config.video_frames) if modality == "image" else SoundTrack(path, config.video_seconds)
        status = path.stat()
        content = _hash_of_video(path.absolute(), status.st_mtime_ns, status.st_size)
        return Source(item.item_id, part, f"{content} {part.kind}", status.st_size)


@lru_cache(maxsize=1 << 18)
def _hash_of_video(path: Path, _changed: int, _size: int) -> str:
    """Return the hash of a video's bytes; those of trailers take long to read, and each encoder and view asks for it."""
    return content_hash(path)


def _note_soundless(items: Sequence[Item]) -> None:
    """Say which videos have no sound: each file once, also where tables that were written anew link or copy it."""
    items = [item for item in items if item.video is not None and _is_new(item.video)]
    if items:
        which = f"{len(items)} of the videos have" if len(items) > 1 else "one of the videos has"
        log.warning("%s no sound: item %r, %s%s", which, *_first(items))


def _is_new(video: Path) -> bool:
    status = video.stat()
    known = (status.st_size, status.st_mtime_ns)
    if known in _TOLD:
        return False
    _TOLD.add(known)
    return True


def _first(items: Sequence[Item]) -> tuple[str, Path | None, str]:
    return items[0].item_id, items[0].video, " and others" if len(items) > 1 else ""


def preparing(encoder: Encoder, modality: Modality, view: int = 0) -> Callable[[Any], Any]:
    """Return a function that prepares a text, a file or a part of a video, or view `view` of it, for an encoder."""

    def seen(medium: Any) -> Any:
        return VIEWS[modality](medium, view) if view else medium

    def prepare(source: Any) -> Any:
        if isinstance(source, VideoFrames):
            return Frames(encoder.prepare(seen(frame)) for frame in source.read())
        if isinstance(source, VideoPart):
            return encoder.prepare(seen(source.read()))
        return encoder.prepare(seen(_read(source, modality)) if view else source)

    return prepare


def _read(path: Path, modality: Modality) -> Any:
    return read_image(path) if modality == "image" else read_audio(path, SAMPLE_RATE)


def encoded(encoder: Encoder, batch: Sequence[Any]) -> np.ndarray:
    """Encode what `preparing` returned to [n, width] float32. That of a video is the mean of its frames, of unit length
    as the vectors of pictures are."""
    if not any(isinstance(prepared, Frames) for prepared in batch):
        return encoder.encode(batch).astype(np.float32)
    groups = [prepared if isinstance(prepared, Frames) else [prepared] for prepared in batch]
    flat = [one for group in groups for one in group]
    most = max(_AT_ONCE, len(batch))
    rows = np.concatenate([encoder.encode(flat[start : start + most]) for start in range(0, len(flat), most)])
    ends = np.cumsum([len(group) for group in groups])
    parts = np.split(rows.astype(np.float32), ends[:-1])
    return np.stack([_mean(part) if len(part) > 1 else part[0] for part in parts])


def _mean(rows: np.ndarray) -> np.ndarray:
    mean = rows.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
