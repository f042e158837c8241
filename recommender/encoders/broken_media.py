"""With `data.on_error: drop`, an item whose picture, sound or video cannot be read stays, without it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from recommender.config import Config, EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.media import content_hash, read_audio, read_image
from recommender.data.video import video_problems
from recommender.encoders.cached_batches import Source, Work, map_in_threads, run
from recommender.encoders.encoding_cache import EncodingCache, cache_folder
from recommender.errors import DataError
from recommender.progress import Progress

log = logging.getLogger(__name__)
Medium = Literal["image", "audio", "video"]
_GOOD, _BROKEN = b"good", b"broken"
_NAMED = 3
_WITHOUT: dict[Medium, Callable[[Item], Item]] = {
    "image": lambda item: replace(item, image=None),
    "audio": lambda item: replace(item, audio=None),
    "video": lambda item: replace(item, video=None),
}


def without_broken_media(
    catalogue: Catalogue, config: Config, progress: Progress | None = None, encoded: Container[str] = ()
) -> Catalogue:
    """Return the catalogue as it is, or, with `data.on_error: drop`, without the media that the encoders could not read.

    Each file is read as they read it, once: the cache remembers by its content. Not those of the items whose ids are in
    `encoded`. How many are left out, and the first of them, are logged. Raises ConfigError if the cache cannot be used.
    """
    if config.data.on_error != "drop":
        return catalogue
    items, reasons = list(catalogue), []
    for medium, read in _readers(config.encoders).items():
        new = [index for index, item in enumerate(items) if getattr(item, medium) and item.item_id not in encoded]
        paths = {index: getattr(items[index], medium) for index in new}
        for index, reason in _broken(medium, paths, read, config.encoders, progress).items():
            items[index] = _WITHOUT[medium](items[index])
            reasons.append(f"item {items[index].item_id!r}: {reason}")
    if not reasons:
        return catalogue
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    said = "left out %d media that cannot be read (recommender validate --all lists them): %s%s"
    log.warning(said, len(reasons), "; ".join(reasons[:_NAMED]), more)
    return Catalogue(items, catalogue.report)


def _readers(encoders: EncodersConfig) -> dict[Medium, Callable[[Path], Any]]:
    """Return how each medium is read that some encoder asks for."""
    readers: dict[Medium, Callable[[Path], Any]] = {}
    if encoders.named("image") is not None:
        readers["image"] = read_image
    if encoders.named("audio") is not None:
        readers["audio"] = lambda path: read_audio(path, None)
    if readers:
        readers["video"] = lambda path: video_problems(path, encoders.video_frames, encoders.video_seconds)
    return readers


def _broken(
    medium: Medium,
    paths: dict[int, Path],
    read: Callable[[Path], Any],
    encoders: EncodersConfig,
    progress: Progress | None,
) -> dict[int, str]:
    """Return why the media of items cannot be read, by the items' positions; those that can be read are not in it."""

    def state(path: Path) -> bytes:
        return _GOOD if _reason(path, read) is None else _BROKEN

    def source(index: int) -> Source | None:
        path = paths[index]
        try:
            return Source(str(index), path, content_hash(path), path.stat().st_size)
        except (DataError, OSError):  # told below, by what reads it
            return None

    sources = dict(zip(paths, map_in_threads(source, list(paths)), strict=True))
    how = f" {encoders.video_frames} {encoders.video_seconds:g}" if medium == "video" else ""
    work = Work(f"checking {medium} files", f"readable-1 {medium}{how}", lambda: None, state, _as_they_are)
    there = [found for found in sources.values() if found is not None]
    cache = EncodingCache(cache_folder(encoders.cache))
    states = run(work, there, cache, encoders.batch_size, progress)[0] if there else {}
    suspects = [index for index, found in sources.items() if found is None or states[found.content] == _BROKEN]
    reasons = zip(suspects, map_in_threads(lambda index: _reason(paths[index], read), suspects), strict=True)
    return {index: reason for index, reason in reasons if reason is not None}


def _reason(path: Path, read: Callable[[Path], Any]) -> str | None:
    """Return why a file cannot be read, None if it can."""
    try:
        read(path)
    except (DataError, OSError) as error:
        reason = error.message if isinstance(error, DataError) else error.strerror or str(error)
        return reason if str(path) in reason else f"{path}: {reason}"
    return None


def _as_they_are(states: Sequence[bytes]) -> Sequence[bytes | None]:
    return states
