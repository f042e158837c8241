"""A progress that breaks an encoding off."""

from __future__ import annotations

from collections.abc import Callable


def stopped_at(what: str, done: int) -> Callable[[str, int, int], None]:
    """Return a progress that is interrupted as by Ctrl-C once so many of something are done."""

    def told(doing: str, count: int, total: int) -> None:
        if (doing, count) == (what, done):
            raise KeyboardInterrupt

    return told
