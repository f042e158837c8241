"""Opening an engine by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recommender.config import ENGINES as ENGINES
from recommender.config import check_engine
from recommender.data.catalogue import Catalogue
from recommender.engine.embedded import Recommender
from recommender.engine.engine import Engine
from recommender.progress import Progress


def open_engine(
    name: str,
    model: str | Path,
    catalogue: Catalogue | str | Path | None = None,
    progress: Progress | None = None,
    before: Engine | None = None,
    **options: Any,
) -> Engine:
    """Return the engine `name` over a checkpoint folder; `options` are the engine's own.

    `before`: the engine of the version that answers meanwhile. vLLM goes on with those of its servers that hold the same
    base, under another adapter.

    Raises ConfigError for a name that no engine has, and what the engine raises for a model that it cannot open.
    """
    check_engine(name)
    if name == "embedded":
        return Recommender.from_pretrained(model, catalogue, progress, **options)
    from recommender.engine.vllm import open_vllm

    return open_vllm(model, catalogue, progress, before, **options)
