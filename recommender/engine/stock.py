"""Items that are out of stock: they stay in histories and explanations, and are in no list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from recommender.data.catalogue import Catalogue


class KnowsStock(Protocol):
    """What knows which items are out of stock: see `recommender.store.stock`."""

    def out(self) -> frozenset[str]:
        """Return the ids of the items that are."""
        ...


class OutOfStock:
    """The items of one catalogue that are not to be listed for now; none where nobody says so."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._known: KnowsStock | None = None
        self._of: frozenset[str] = frozenset()
        self._items = np.empty(0, np.int64)

    def follow(self, known: KnowsStock) -> Callable[[], None]:
        """Ask somebody from now on; what is returned ends it, and nothing is out of stock then."""
        self._known = known

        def stop() -> None:
            if self._known is known:
                self._known, self._of, self._items = None, frozenset(), np.empty(0, np.int64)

        return stop

    @property
    def items(self) -> np.ndarray:
        """Their positions, int64 [items]; ids that this catalogue does not have are passed over."""
        if self._known is None:
            return self._items
        out = self._known.out()
        if out is not self._of:
            found = [self.catalogue.index(item) for item in sorted(out) if item in self.catalogue]
            self._of, self._items = out, np.array(found, np.int64)
        return self._items
