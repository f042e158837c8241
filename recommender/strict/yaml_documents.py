"""YAML of configs: what has two meanings, or no end, is refused in one line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import yaml

DEEPEST = 50
"""Levels of nesting that are read."""
MOST_VALUES = 100_000
"""Values that are read, those behind aliases counted each time they stand for something."""


def parse_yaml(text: str) -> Any:
    """Return YAML as data.

    Raises ValueError in one line for other text, a key that stands twice in a mapping, NaN and infinities, and for
    nesting or aliases beyond all measure.
    """
    try:
        value = yaml.load(text, _Loader)
        values = sum(1 for _ in islice(_walked(value, 0), MOST_VALUES + 1))
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if values > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    return value


class _Loader(yaml.SafeLoader):
    """Reads plain data, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        repeated = next((name for name, times in names.items() if times > 1 and name != "<<"), None)
        if repeated is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {repeated!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _walked(value: Any, depth: int) -> Iterator[None]:
    """Yield once for each value. Raises ValueError for what no config holds."""
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number that can be set")
    yield
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walked(inner, depth + 1)
