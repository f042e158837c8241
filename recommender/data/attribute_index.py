"""An inverted index of attributes: which items have a value, answered without a scan of the catalogue."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

NO_ITEMS = np.zeros(0, dtype=np.int64)
NO_ITEMS.flags.writeable = False


def _key(value: str) -> str:
    folded = value.casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


class AttributeIndex:
    """Attribute name -> value -> item indices, ascending. An attribute is indexed when it is first asked for.

    The rows must not change.
    """

    def __init__(self, rows: Sequence[Mapping[str, Sequence[str]]], key: Callable[[str], str] = _key) -> None:
        """Take the attributes of each item. `key`: what values are compared by.

        By default neither letter case counts nor whether an accent is a character of its own.
        """
        self._rows = rows
        self._key = key
        self._names: tuple[str, ...] | None = None
        self._attributes: dict[str, dict[str, np.ndarray]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all attributes, sorted."""
        if self._names is None:
            self._names = tuple(sorted({name for row in self._rows for name in row}))
        return self._names

    def values(self, name: str) -> Mapping[str, np.ndarray]:
        """Return the values (by their key) of an attribute and the items that have each, int64 [n] ascending.

        Values stand in the order in which they first occur. The arrays cannot be written to. Empty for an unknown name.
        """
        if name not in self._attributes:  # two threads may both build it: they build the same
            self._attributes[name] = self._build(name)
        return self._attributes[name]

    def items(self, name: str, value: str) -> np.ndarray:
        """Return the items that have this value of the attribute, int64 [n] ascending."""
        return self.values(name).get(self._key(value), NO_ITEMS)

    def matching(self, name: str, values: Iterable[str]) -> np.ndarray:
        """Return bool [items]: which items have at least one of these values of the attribute."""
        mask = np.zeros(len(self._rows), dtype=bool)
        for value in values:
            mask[self.items(name, value)] = True
        return mask

    def _build(self, name: str) -> dict[str, np.ndarray]:
        numbers: dict[str, int] = {}
        value_numbers: list[int] = []
        items: list[int] = []
        for item, row in enumerate(self._rows):
            for value in dict.fromkeys(map(self._key, row.get(name, ()))):
                value_numbers.append(numbers.setdefault(value, len(numbers)))
                items.append(item)
        grouped = np.array(items, dtype=np.int64)[np.argsort(value_numbers, kind="stable")]
        grouped.flags.writeable = False
        ends = np.cumsum(np.bincount(np.array(value_numbers, dtype=np.int64), minlength=len(numbers))).tolist()
        return {value: grouped[start:end] for value, start, end in zip(numbers, [0, *ends], ends, strict=False)}
