"""A mark of a store that changes when rows went or were put back: what processes hold in memory is not true any more.

Counts and numbers do not tell: a database may give the number of the last row that went to the next one that comes.
"""

from __future__ import annotations

import os

from sqlalchemy import Connection, delete, insert, select

from recommender.store.tables import facts

_NAME = "generation"


def generation(connection: Connection) -> bytes | None:
    """Return the mark as it is; None where nothing ever went."""
    found = connection.execute(select(facts.c.value).where(facts.c.name == _NAME)).scalar()
    return None if found is None else bytes(found)


def renew(connection: Connection) -> None:
    """Change the mark, in the transaction of what it tells of."""
    connection.execute(delete(facts).where(facts.c.name == _NAME))
    connection.execute(insert(facts).values(name=_NAME, value=os.urandom(16)))
