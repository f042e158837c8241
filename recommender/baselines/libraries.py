"""Libraries of the extra `eval`, imported only when a baseline or a metric needs them."""

from __future__ import annotations

import importlib
from typing import Any

from recommender.errors import DataError


def import_library(module: str, needed_by: str) -> Any:
    """Import a module of the extra `eval`. Raises DataError, naming what needs it, if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        reason = f"{needed_by} needs the library {package}, which cannot be imported ({error})"
        raise DataError(reason, "pip install 'recommender[eval]'") from None
