"""A recommender whose core is a language model: ranked items, each with a justification that is checked.

from recommender import Recommender
model = Recommender.from_pretrained("movielens-100k")
model.recommend(["50", "181", "258"], k=10)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender.chat import Chat
    from recommender.config import Config
    from recommender.engine import Recommender, Request
    from recommender.pipelines.train import train
    from recommender.studies.comparison import evaluate

__all__ = ["Chat", "Config", "Recommender", "Request", "evaluate", "train"]

_MODULES = {
    "Chat": "recommender.chat",
    "Config": "recommender.config",
    "Recommender": "recommender.engine",
    "Request": "recommender.engine",
    "evaluate": "recommender.studies.comparison",
    "train": "recommender.pipelines.train",
}


def __getattr__(name: str) -> Any:
    # lazily: `recommender --help` and what runs inside other processes must not wait for torch
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
