"""YAML of configs: what has two meanings, or no end, is refused in one line."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from recommender.errors import RecommenderError
from recommender.files import check_plain, status

try:
    from yaml import CSafeLoader as SafeLoader  # libyaml's: ten times as fast
except ImportError:  # where PyYAML was built without it
    from yaml import SafeLoader  # type: ignore[assignment]

DEEPEST = 50
"""Levels of nesting that are read."""
MOST_BYTES = 1 << 18
"""Bytes of a text that is parsed; configs have a few thousand."""
MOST_VALUES = 100_000
"""Values that are read, those behind aliases counted each time they stand for something."""


#: what the shell or a caller hands to this process, which may be a pipe
_HANDED = re.compile(r"/dev/(stdin|fd/\d+)|/proc/self/fd/\d+")


def read_yaml(path: Path, error: type[RecommenderError]) -> Any:
    """Return the YAML of a file, or of what was handed to this process as /dev/stdin, as data; read as far as needed.

    Raises `error` in one line for what cannot be read, is no plain file, or as `parse_yaml` does.
    """
    hint = "check the path of --config"
    if not _HANDED.fullmatch(str(path)) and status(path, error) is not None and not path.is_dir():
        check_plain(path, error, hint)
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES)
        _check_length(raw)
        return parse_yaml(raw.decode("utf-8-sig"))
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror})", hint) from None
    except UnicodeDecodeError as failure:
        reason = f"not valid YAML (byte {failure.start} is not UTF-8)"
        raise error(f"{path}: {reason}", "save the file as UTF-8") from None
    except ValueError as failure:  # yaml itself raises it for a date that is none
        raise error(f"{path}: not valid YAML ({failure})") from None


def parse_yaml(text: str) -> Any:
    """Return YAML as data.

    Raises ValueError in one line for other text, a key that stands twice in a mapping, NaN and infinities, and for
    length, nesting or aliases beyond all measure.
    """
    _check_length(text)
    try:
        _check_depth(text)
        value = yaml.load(text, _Loader)
        values = sum(1 for _ in islice(_walked(value, 0), MOST_VALUES + 1))
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if values > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    return value


def _check_length(text: str | bytes) -> None:
    if len(text) >= MOST_BYTES:
        raise ValueError(f"{MOST_BYTES >> 10} KB and more")


def _check_depth(text: str) -> None:
    """Raise ValueError for what is nested too deep, before libyaml descends into it: its stack has no limit but its end."""
    depth = 0
    for event in yaml.parse(text, SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels")


class _Loader(SafeLoader):
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
