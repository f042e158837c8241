"""Whether a server can answer: asked beside everything else, and once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from recommender.engine import Engine
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.server.http_errors import code_of_storage

#: how long an answer is waited for
_LONGEST_SECONDS = 4.0


class Probe:
    """A question that may take long, asked in a thread of its own: those of requests may all be taken."""

    def __init__(self, ask: Callable[[], str]) -> None:
        """`ask`: returns what is wrong, "" for nothing. Nothing is asked before the first call."""
        self.ask = ask
        self._pool = ThreadPoolExecutor(1, "ready")
        self._asked: asyncio.Future[str] | None = None

    async def __call__(self, late: str) -> str:
        """Return what is wrong; `late` if there is no answer in time."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().run_in_executor(self._pool, self.ask)
        try:
            return await asyncio.wait_for(asyncio.shield(self._asked), _LONGEST_SECONDS)
        except Exception:
            return late


class Readiness:
    """What keeps a server from answering, and what keeps it only from keeping feedback."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is asked before the first call."""
        self._engine = Probe(lambda: "" if engine.is_alive() else "engine_lost")
        self._feedback = Probe(lambda: _feedback_fault(engine.feedback_policy))

    async def __call__(self) -> tuple[str, str]:
        """Return as codes, "" for nothing, what is wrong with the engine, and with the place of feedback."""
        engine, feedback = await asyncio.gather(self._engine("engine_lost"), self._feedback("storage_unavailable"))
        return engine, feedback


def _feedback_fault(policy: FeedbackPolicy) -> str:
    if policy.store is None:
        return ""
    try:
        policy.store.check_writable()
    except OSError as error:
        return code_of_storage(error)
    return ""
