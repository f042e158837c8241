"""Parts of a ranking that a request may switch off: what items are read by, what is popular, and the person's history.

Which modalities are off at the moment belongs to the thread that computes, as `background` has it of who waits: evidence,
questions back and traces all score through an engine, and each of their scores must leave out the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

from recommender.config import MODALITIES, Modality
from recommender.errors import RecommenderError

#: what may be switched off: modalities; what everybody would be shown; what is known of the person; fused baselines
Part = Literal["text", "knowledge", "image", "audio", "collaborative", "popularity", "history", "baselines"]
PARTS: tuple[Part, ...] = get_args(Part)
POPULARITY: Part = "popularity"
HISTORY: Part = "history"
BASELINES: Part = "baselines"
_NOTHING = frozenset[Modality]()
_OFF: ContextVar[frozenset[Modality]] = ContextVar("off", default=_NOTHING)


@contextmanager
def switched_off(modalities: Collection[Modality]) -> Iterator[None]:
    """Within the block this thread's scores are those of a model that has not these modalities."""
    token = _OFF.set(frozenset(modalities))
    try:
        yield
    finally:
        _OFF.reset(token)


def off_now() -> frozenset[Modality]:
    """Return the modalities that are switched off for what this thread computes."""
    return _OFF.get()


def modalities_of(parts: Collection[Part]) -> frozenset[Modality]:
    """Return the modalities among some parts."""
    return frozenset(m for m in MODALITIES if m in parts) if parts else _NOTHING


def check_parts(parts: Collection[Part], own: Sequence[Part], engine: str) -> None:
    """Raise RecommenderError for a part that cannot be switched off. `own`: those that can; `engine`: its name."""
    for part in parts:
        if part not in own:
            missing = (
                f"without: {part} cannot be switched off: the model has none, or the {engine} engine cannot do that"
            )
            raise RecommenderError(missing, f"what can: {', '.join(own)}")


def without_note(parts: Sequence[Part], hears: bool) -> str:
    """Return what is said of a list without some parts. `hears`: the model listens to words beside it."""
    note = f"ranked without {', '.join(parts)}"
    if hears and modalities_of(parts):
        return f"{note}; how words are heard does not change"
    return note
