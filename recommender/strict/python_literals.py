"""Literals as Python prints them: read as data, and no key twice."""

from __future__ import annotations

import ast
from collections import Counter
from typing import Any


def parse_literal(text: str) -> Any:
    """Return the plain value that a text writes in Python's way.

    Raises ValueError for a key that stands twice in a dictionary, and what `ast.literal_eval` raises for other text.
    """
    tree = ast.parse(text.lstrip(" \t"), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            names = Counter(key.value for key in node.keys if isinstance(key, ast.Constant))
            repeated = next((name for name, times in names.items() if times > 1), None)
            if repeated is not None:
                raise ValueError(f"the key {repeated!r} stands twice in an object")
    return ast.literal_eval(tree)
