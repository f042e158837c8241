"""Whether the engine can answer: asked beside everything else, and once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from recommender.engine import Engine

#: how long an answer is waited for
_LONGEST_SECONDS = 4.0


class Readiness:
    """Asks one engine whether it is alive, in a thread of its own: those of requests may all be taken."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is asked before the first call."""
        self.engine = engine
        self._pool = ThreadPoolExecutor(1, "ready")
        self._asked: asyncio.Future[bool] | None = None

    async def __call__(self) -> bool:
        """Return whether the engine is alive. One that does not say so in time is not."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().run_in_executor(self._pool, self.engine.is_alive)
        try:
            return await asyncio.wait_for(asyncio.shield(self._asked), _LONGEST_SECONDS)
        except Exception:
            return False
