"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    """Return glibc's `malloc_trim`, None where another library allocates."""
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim if sys.platform == "linux" else None
    except (OSError, AttributeError):
        return None


def give_back() -> None:
    """Return pages that nothing lies on any more. Tensors of many sizes leave holes, which glibc keeps and seldom fills."""
    if (trim := _trim()) is not None:
        trim(0)
