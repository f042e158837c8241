"""Pictures and sounds of the catalogue's items over HTTP: only files that the catalogue names, and only what is a medium."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import Response
from PIL import Image
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse

from recommender.config import ServingConfig
from recommender.data.catalogue import Item
from recommender.data.media import audio_seconds, read_image
from recommender.errors import DataError
from recommender.server.http_errors import HttpError

#: pictures that are decoded at the same time, each of which may take a hundred megabytes
AT_ONCE = 2
QUALITY = 85
_SOUND_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
    ".aif": "audio/aiff",
    ".aiff": "audio/aiff",
    ".au": "audio/basic",
}
_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


class ItemMedia:
    """Thumbnails, made when they are first asked for and kept, and sounds as they are."""

    def __init__(self, limits: ServingConfig) -> None:
        """`limits`: the largest thumbnail, and how many bytes of them are kept."""
        self._largest, self._room = limits.thumbnail, limits.thumbnail_cache
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._pool = ThreadPoolExecutor(AT_ONCE, "thumbnail")

    async def picture(self, http: HttpRequest, item: Item, size: int) -> Response:
        """Return an item's picture as JPEG, its longer side at most `size` pixels. Raises HttpError 404 and 400."""
        tag = self._tag(item, size)
        headers = _HEADERS | {"ETag": f'"{tag}"'}
        if tag in http.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        tag, jpeg = await self.jpeg(item, size)
        return Response(jpeg, media_type="image/jpeg", headers=_HEADERS | {"ETag": f'"{tag}"'})

    async def jpeg(self, item: Item, size: int) -> tuple[str, bytes]:
        """Return an item's picture as JPEG, and a tag that changes with it. Raises HttpError 404 and 400."""
        tag = self._tag(item, size)
        if (jpeg := self._kept.get(tag)) is None:
            assert item.image is not None
            try:
                jpeg = await asyncio.get_running_loop().run_in_executor(self._pool, thumbnail, item.image, size)
            except DataError:  # its message names the file
                raise _no_medium(item, "readable picture") from None
        self._keep(tag, jpeg)
        return tag, jpeg

    def _tag(self, item: Item, size: int) -> str:
        if not 16 <= size <= self._largest:
            raise HttpError(400, f"size: expected 16 to {self._largest:,} pixels", param="size")
        version = file_version(item.image)
        if item.image is None or version is None:
            raise _no_medium(item, "picture")
        return f"{version}-{size}"

    async def sound(self, item: Item) -> Response:
        """Return an item's sound as it is, or the part that a Range header asks for. Raises HttpError 404."""
        if item.audio is None or file_version(item.audio) is None:
            raise _no_medium(item, "sound")
        try:
            await asyncio.to_thread(audio_seconds, item.audio)
        except DataError:
            raise _no_medium(item, "readable sound") from None
        kind = _SOUND_TYPES.get(item.audio.suffix.lower(), "application/octet-stream")
        return FileResponse(item.audio, media_type=kind, headers=_HEADERS)

    def _keep(self, tag: str, jpeg: bytes) -> None:
        self._bytes += len(jpeg) if tag not in self._kept else 0
        self._kept[tag] = jpeg
        self._kept.move_to_end(tag)
        while self._bytes > self._room:
            self._bytes -= len(self._kept.popitem(last=False)[1])


def file_version(path: Path | None) -> str | None:
    """Return a short text that changes with a file; None where there is no such file at the moment."""
    try:
        status = os.stat(path) if path is not None else None
    except (OSError, ValueError):
        return None
    if status is None or not os.path.isfile(str(path)):
        return None
    said = f"{path} {status.st_mtime_ns} {status.st_size}"
    return hashlib.sha256(said.encode(errors="surrogateescape")).hexdigest()[:20]


def thumbnail(path: Path, size: int) -> bytes:
    """Return a picture as JPEG, scaled down so that no side has more than `size` pixels. Raises DataError."""
    picture = read_image(path)
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _no_medium(item: Item, what: str) -> HttpError:
    return HttpError(404, f"the item {item.item_id[:100]!r} has no {what} here", "no_medium")
