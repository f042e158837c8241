"""Work that ends when the client that waits for it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

_Result = TypeVar("_Result")


async def while_connected(http: Request, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """Return the result of `work`, or None, with the work cancelled, if the client leaves first. Raises as `work` does."""
    task = asyncio.ensure_future(work)
    departure = asyncio.ensure_future(_disconnected(http))
    try:
        await asyncio.wait({task, departure}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        departure.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _disconnected(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
