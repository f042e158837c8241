"""Versions of the model that a server answers with: a new one takes over between two requests, and none is lost.

The new version is opened and warmed up beside the old one, which answers meanwhile. From one moment on new requests go to
the new one; the old one ends when it has answered what it began. A version that cannot be opened changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from recommender.engine import Engine
from recommender.errors import RecommenderError
from recommender.numerics.memory import give_back
from recommender.server.http_errors import HttpError
from recommender.server.items import PATH as ITEMS
from recommender.server.new_items import NewItem, NewItemsBody

RELOAD = "/v1/reload"
_POLL_SECONDS = 0.1
#: what functools.cache makes
_CACHE = type(cache(len))
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Version:
    """One version: its engine, the application around it, and how many requests it is answering.

    `state`: what tells it from others.
    """

    engine: Engine
    app: FastAPI
    state: str
    busy: int = 0
    retired: bool = False
    _lifespan: _Lifespan | None = None

    async def begin(self) -> None:
        """Do what the application does before its first request."""
        self._lifespan = _Lifespan(self.app)
        await self._lifespan.begin()

    async def end(self) -> None:
        """Do what the application does after its last request, and close the engine."""
        assert self._lifespan is not None
        await self._lifespan.end()
        await asyncio.to_thread(self.app.state.close)
        await asyncio.to_thread(self.engine.close)


class _Lifespan:
    """The lifespan of an application, in a task of its own: what it enters must be left in the same task."""

    def __init__(self, app: FastAPI) -> None:
        self._app, self._began, self._ends = app, asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Enter it. Raises what it raises."""
        self._task = asyncio.create_task(self._run())
        waits = asyncio.create_task(self._began.wait())
        await asyncio.wait((self._task, waits), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        if self._task.done():
            self._task.result()

    async def end(self) -> None:
        """Leave it."""
        assert self._task is not None
        self._ends.set()
        await self._task

    async def _run(self) -> None:
        async with self._app.router.lifespan_context(self._app):
            self._began.set()
            await self._ends.wait()


class Versions:
    """An ASGI application that passes requests to the version of the moment."""

    def __init__(
        self,
        first: Version,
        open_next: Callable[[Engine], Version],
        state_now: Callable[[], str],
        look_seconds: float | None = None,
        add_items: Callable[[Sequence[NewItem]], dict[str, Any]] | None = None,
    ) -> None:
        """`open_next`: opens the version that is there now, beside the engine of the one that answers; takes as long as
        loading a model does.

        `state_now`: what tells the version that is there now from others. `look_seconds`: how often the server looks by
        itself whether that is another one; None: it reloads when it is told to, by the route or SIGHUP. `add_items`: puts
        a version that knows further items there; None: nothing can.
        """
        self.current, self._open_next, self._state_now, self._look_seconds = first, open_next, state_now, look_seconds
        self._add_items = add_items
        self._reloading, self._adding = asyncio.Lock(), asyncio.Lock()
        self._background: set[asyncio.Task[Any]] = set()
        self._install(first.app)

    @property
    def state(self) -> State:
        """What the application of the moment holds."""
        found: State = self.current.app.state
        return found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the version of the moment."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        version = self.current
        version.busy += 1
        try:
            await version.app(scope, receive, send)
        finally:
            version.busy -= 1
            await self._end_if_done(version)

    async def reload(self) -> dict[str, Any]:
        """Take over the version that is there now, if it is another one.

        Raises HttpError 409 while that is being done, 503 if it cannot be opened: the old one goes on.
        """
        if self._reloading.locked():
            raise HttpError(409, "a new version is being loaded already", "reloading")
        async with self._reloading:
            before, started = self.current, time.monotonic()
            if await asyncio.to_thread(self._state_now) == before.state:
                return {"object": "reload", "changed": False, "version": before.state}
            try:
                opened = await asyncio.to_thread(self._ready_next)
            except RecommenderError as error:
                logger.error("the new version cannot be opened, the old one goes on: %s", error.message)
                message = f"the new version cannot be opened, the old one goes on: {error.message}"
                raise HttpError(503, message, "reload_failed") from None
            self._install(opened.app)
            await opened.begin()
            self.current, before.retired = opened, True
            await self._end_if_done(before)
            seconds = round(time.monotonic() - started, 2)
            logger.info("version %s answers now, loaded in %.1f s", opened.state[:12], seconds)
            return {"object": "reload", "changed": True, "version": opened.state, "seconds": seconds}

    async def add_items(self, body: NewItemsBody) -> dict[str, Any]:
        """Add items to the model; from the answer on they may be listed. Nothing is trained, and no request is lost.

        Raises HttpError 409 where the model cannot take any; DataError for known ids, and what `reload` raises.
        """
        if self._add_items is None:
            message = "items cannot be added to this model while it is served: see recommender extend"
            raise HttpError(409, message, "fixed_items")
        async with self._adding:
            told = await asyncio.to_thread(self._add_items, body.items)
            while self._reloading.locked():  # of what was there before
                await asyncio.sleep(_POLL_SECONDS)
            return told | {"version": (await self.reload())["version"]}

    def _ready_next(self) -> Version:
        version = self._open_next(self.current.engine)
        version.app.state.warm_up()
        return version

    def _install(self, app: FastAPI) -> None:
        for path, answer in ((RELOAD, self.reload), (ITEMS, self.add_items)):
            app.post(path)(answer)
            app.router.routes.insert(0, app.router.routes.pop())  # before what takes all paths

    async def _end_if_done(self, version: Version) -> None:
        if version.retired and not version.busy:
            version.retired = False  # once
            await version.end()
            self._in_background(partial(asyncio.to_thread, _forget_ended))

    async def _live(self, receive: Receive, send: Send) -> None:
        """Do what an application does before its first request and after its last one."""
        await receive()
        await self.current.begin()
        self._listen_to_signals()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in list(self._background):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.current.end()
        await send({"type": "lifespan.shutdown.complete"})

    def _listen_to_signals(self) -> None:
        with suppress(ValueError, RuntimeError, AttributeError):  # outside the main thread there are no signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._in_background, self._reload_quietly)
        if self._look_seconds is not None:
            self._in_background(self._look)

    def _in_background(self, work: Callable[[], Any]) -> None:
        task = asyncio.ensure_future(work())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _reload_quietly(self) -> None:
        with suppress(HttpError):  # told in the log
            await self.reload()

    async def _look(self) -> None:
        assert self._look_seconds is not None
        refused = ""
        while True:
            await asyncio.sleep(self._look_seconds)
            with suppress(OSError):  # a folder that is being replaced
                state = await asyncio.to_thread(self._state_now)
                if state not in (self.current.state, refused):
                    await self._reload_quietly()
                    refused = state  # one that cannot be opened is not tried again


def _forget_ended() -> None:
    """Give back the memory of versions that have ended: what a warm-up spared the garbage collector is looked at again.

    FastAPI remembers in caches what routes call, and so whole versions; they fill again.
    """
    gc.unfreeze()
    for found in gc.get_objects():
        if type(found) is _CACHE and str(getattr(found, "__module__", "")).startswith("fastapi."):
            found.cache_clear()
    gc.collect()
    gc.freeze()
    give_back()
