"""Trainings that are stopped at a step, with everything kept by then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from recommender.training import loop


@contextmanager
def stopped_behind_a_step() -> Iterator[None]:
    """Let whatever trains within be stopped behind its first step, which is kept. Fails if it is not."""
    step = loop._Stage._step

    def stopped(self, number, parts):
        if number == 1:
            raise KeyboardInterrupt
        return step(self, number, parts)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop._Stage, "_step", stopped)
        patched.setattr(loop._Clock, "due", lambda self: True)
        with pytest.raises(KeyboardInterrupt):
            yield
