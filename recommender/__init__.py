"""A recommender whose core is a language model: images and sound in its token space, ranked ids, true reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender.engine import Recommender, Request

__all__ = ["Recommender", "Request"]


def __getattr__(name: str) -> Any:
    # lazily: `recommender --help` and what runs inside other processes must not wait for torch
    if name in __all__:
        from recommender import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
