"""The catalogue over HTTP: search, single items, their pictures and sounds."""

from __future__ import annotations

import asyncio
import csv
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Annotated, Any
from urllib.parse import quote, unquote

import numpy as np
from fastapi import Query
from fastapi import Request as HttpRequest

from recommender.config import ServingConfig
from recommender.data.catalogue import Item
from recommender.data.item_search import Found, ItemSearch
from recommender.engine import Engine
from recommender.engine.background import in_background
from recommender.engine.turns import of_domains
from recommender.errors import RecommenderError
from recommender.server.http_errors import HttpError
from recommender.server.item_media import ItemMedia, file_version
from recommender.server.limits import LONGEST_ID, check_id_length

PATH = "/v1/items"
#: how long a search waits for the index, which is built when the server starts
_INDEX_SECONDS = 5.0
#: items of an answer that says no number
_USUAL = 20
_MEDIA = ("image", "audio")

logger = logging.getLogger(__name__)


class Items:
    """The routes below /v1/items. The index is built in a thread of its own, as soon as there is a server."""

    def __init__(self, engine: Engine, limits: ServingConfig) -> None:
        """Begin to build the index."""
        self.engine, self.limits = engine, limits
        self.media = ItemMedia(limits)
        self._index: Future[ItemSearch] = Future()
        # one search at a time: several would only share the interpreter
        self._turn = asyncio.Lock()
        threading.Thread(target=self._build, name="index", daemon=True).start()

    async def items(
        self,
        search: Annotated[str | None, Query(description="words of titles, or of attribute values")] = None,
        ids: Annotated[str | None, Query(description="item ids, with commas between them")] = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        domain: Annotated[
            str | None, Query(description="of a joined catalogue: list and search this domain alone")
        ] = None,
    ) -> dict[str, Any]:
        """Search the catalogue, list it (popular items first), or tell what the items of some ids are."""
        limit = min(_USUAL, self.limits.listed) if limit is None else limit
        if limit > self.limits.listed:
            raise HttpError(400, f"limit: at most {self.limits.listed:,} items at a time", param="limit")
        if ids is not None:
            return _listed(list(map(self.item_of, self._ids(ids))))
        total, found = await self.find(search, limit, min(offset, len(self.engine.catalogue)), domain)
        return _listed(found, total)

    async def find(
        self, search: str | None, limit: int, offset: int = 0, domain: str | None = None
    ) -> tuple[int, list[Item]]:
        """Return how many items a search finds, and those that were asked for, the best first; None lists them all.

        `domain`: of a joined catalogue, the one to look in. Raises HttpError 400 for a text that is too long,
        RecommenderError for a domain that no item is of, and HttpError 503 while the index is being built.
        """
        if search is not None and len(search) > self.limits.search_chars:
            raise HttpError(400, f"search: longer than {self.limits.search_chars:,} characters", "too_long", "search")
        if domain is not None:
            check_id_length("domain", domain)
        try:
            index = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._index)), _INDEX_SECONDS)
        except TimeoutError:
            raise HttpError(503, "the catalogue is being indexed; come again in a moment", "index_not_ready") from None
        async with self._turn:
            found = await asyncio.to_thread(self._found, index, search, limit, offset, domain)
        return found.total, [self.engine.catalogue[int(item)] for item in found.items]

    def _found(self, index: ItemSearch, search: str | None, limit: int, offset: int, domain: str | None) -> Found:
        among = None if domain is None else of_domains(self.engine.catalogue, [domain], "domain")
        if search is None or not search.strip():
            return index.first(limit, offset, among)
        return index.find(search, limit, offset, among)

    async def item(self, http: HttpRequest) -> dict[str, Any]:
        """Tell what one item is. An id may hold any character, percent-encoded in the path."""
        return described(self.item_of(_addressed(http)[0]))

    async def image(self, http: HttpRequest, size: int = 224) -> Any:
        """Return an item's picture as JPEG, its longer side at most `size` pixels."""
        item_id, medium = _addressed(http)
        return await self.media.picture(http, self.item_of(item_id), size) if medium else await self.item(http)

    async def audio(self, http: HttpRequest) -> Any:
        """Return an item's sound; a Range header asks for a part of it."""
        item_id, medium = _addressed(http)
        return await self.media.sound(self.item_of(item_id)) if medium else await self.item(http)

    def _ids(self, ids: str) -> Sequence[str]:
        listed = [ids] if ids in self.engine.catalogue else listed_texts("ids", ids)
        if len(listed) > self.limits.listed:
            raise HttpError(400, f"ids: more than {self.limits.listed:,} items", "too_long", "ids")
        return listed

    def item_of(self, item_id: str) -> Item:
        """Return an item. Raises HttpError 404; nothing looks for near ids, which takes seconds in a large catalogue."""
        if len(item_id) > LONGEST_ID or item_id not in self.engine.catalogue:
            raise HttpError(404, f"there is no item {item_id[:100]!r}", "item_not_found")
        return self.engine.catalogue[self.engine.catalogue.index(item_id)]

    def _build(self) -> None:
        try:
            self._index.set_result(ItemSearch(self.engine.catalogue, self._popularity()))
        except Exception as error:
            self._index.set_exception(error)

    def _popularity(self) -> np.ndarray | None:
        try:
            with in_background(threading.Event()):  # lists go first
                return self.engine.popularity()
        except RecommenderError as error:
            logger.warning("items are listed in the catalogue's order: %s", error)
            return None


def listed_texts(field: str, text: str) -> list[str]:
    """Return the parts of a list with commas, as a field in the query of a path; one in double quotes may hold a comma.

    Raises HttpError 400 for quotes that do not close.
    """
    try:
        (parts,) = csv.reader([text], skipinitialspace=True, strict=True) if text else ([],)
    except (csv.Error, ValueError) as error:
        raise HttpError(400, f"{field}: cannot be read as a list with commas ({error})", param=field) from None
    return [part.strip() for part in parts if part.strip()]


def described(item: Item) -> dict[str, Any]:
    """Return an item as data; of its media only those that are there at the moment, as paths of this server."""
    url = f"{PATH}/{quote(item.item_id, safe='')}"
    return {
        "item_id": item.item_id,
        "title": item.title,
        "text": item.text,
        "attributes": {name: list(values) for name, values in item.attributes.items()},
        "image": f"{url}/image" if file_version(item.image) else None,
        "audio": f"{url}/audio" if file_version(item.audio) else None,
    }


def _listed(items: Sequence[Item], total: int | None = None) -> dict[str, Any]:
    return {"object": "list", "total": len(items) if total is None else total, "data": list(map(described, items))}


def _addressed(http: HttpRequest) -> tuple[str, str]:
    """Return the id in a path, and "image" or "audio" where it asks for one.

    By the path as it was sent: in "a%2Fimage" the slash belongs to the id.
    """
    raw = http.scope.get("raw_path") or quote(http.scope["path"]).encode()
    parts = raw.decode("latin-1").removeprefix(f"{PATH}/").split("/")
    medium = parts[-1] if len(parts) > 1 and parts[-1] in _MEDIA else ""
    return unquote("/".join(parts[:-1] if medium else parts)), medium
