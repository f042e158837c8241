"""What a server does for its store by the clock: signs the audit log every hour, deletes daily what is too old."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from fastapi import FastAPI

from recommender.errors import RecommenderError
from recommender.store.store import Store

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
#: seconds between two looks at the clock, and between two sweeps
LOOK, SWEEP = 60.0, 86_400.0

logger = logging.getLogger(__name__)


def keeping_house(store: Store | None, inner: Lifespan, *follow: Callable[[], Callable[[], None] | None]) -> Lifespan:
    """Return a lifespan of an application that keeps house for a store beside what `inner` does.

    `follow`: each starts what follows the store, and returns what stops it, if there is anything to follow.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        work = None if store is None else asyncio.create_task(_keep_house(store))
        started = [await asyncio.to_thread(start) for start in follow]
        async with inner(app):
            yield
        for stop in started:
            if stop is not None:
                stop()
        if work is not None:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    return lifespan


async def _keep_house(store: Store) -> None:
    swept = time.monotonic()  # a store is swept when a server opens it
    while True:
        await asyncio.sleep(LOOK)
        try:
            if time.monotonic() - swept >= SWEEP:
                await asyncio.to_thread(store.sweep)
                swept = time.monotonic()
            await asyncio.to_thread(store.audit.sign_hourly)
        except RecommenderError as error:  # a store that is away for a moment is tried again at the next look
            logger.error("the store is not looked after at the moment: %s", error.message)
