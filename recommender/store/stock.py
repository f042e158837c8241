"""Which items are out of stock: every server on a store knows it within a second, and after a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sqlalchemy import Engine, delete, insert, select

from recommender.store.database import reading, writing
from recommender.store.tables import stock

#: seconds for which what was read counts
_FRESH = 1.0
_AT_ONCE = 500


class Stock:
    """The items of one store that are not to be listed for now."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._out, self._read = frozenset[str](), float("-inf")
        self._looking = threading.Lock()

    def out(self) -> frozenset[str]:
        """Return the ids of the items that are out of stock, as they were at most a second ago."""
        with self._looking:
            if time.monotonic() - self._read >= _FRESH:
                with reading(self.engine) as connection:
                    self._out = frozenset(connection.execute(select(stock.c.item_id)).scalars())
                self._read = time.monotonic()
            return self._out

    def change(self, out: Sequence[str] = (), back: Sequence[str] = ()) -> None:
        """Keep that items are out of stock, and that others are back; what is so already stays so."""
        now, gone = time.time(), list(dict.fromkeys(out))
        with writing(self.engine) as connection:
            for part in _parts([*gone, *back]):
                connection.execute(delete(stock).where(stock.c.item_id.in_(part)))
            if gone:
                connection.execute(insert(stock), [{"item_id": item, "time": now} for item in gone])
        with self._looking:
            self._read = float("-inf")


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
