"""Encodings on disk, by the hash of what was encoded: one SQLite file, safe against kills and for several processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from recommender import assets
from recommender.errors import ConfigError

_TABLE = (
    "create table if not exists encodings"
    " (encoder text, content text, value blob not null, primary key (encoder, content)) without rowid"
)
# SQLite allows about a thousand parameters a query in its older builds.
_QUERY = 500
_PATIENCE_SECONDS = 120


def cache_folder(configured: str | None = None) -> Path:
    """Return the cache's folder: the configured one, else one beside the embedded models."""
    return Path(configured).expanduser() if configured is not None else assets.cache_dir() / "encodings"


class EncodingCache:
    """Encodings (bytes) by the encoder's identity and the hash of the content."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "encodings.sqlite"

    def get(self, encoder: str, contents: Sequence[str]) -> dict[str, bytes]:
        """Return the cached values of these content hashes; others are left out. Raises ConfigError if unusable."""
        values: dict[str, bytes] = {}
        with self._connection() as connection:
            for start in range(0, len(contents), _QUERY):
                chunk = contents[start : start + _QUERY]
                query = f"select content, value from encodings where encoder = ? and content in ({_marks(chunk)})"
                values.update(connection.execute(query, (encoder, *chunk)))
        return values

    def put(self, encoder: str, values: Mapping[str, bytes]) -> None:
        """Add values by content hash in one transaction: all of them or none. Raises ConfigError if unusable."""
        rows = [(encoder, content, value) for content, value in values.items()]
        with self._connection() as connection:
            connection.executemany("insert or replace into encodings values (?, ?, ?)", rows)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for one transaction; another process' transaction is waited for."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_PATIENCE_SECONDS)
            try:
                with connection:
                    connection.execute(_TABLE)
                    yield connection
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            hint = "set encoders.cache or RECOMMENDER_CACHE to a folder that can be written, or delete the file"
            raise ConfigError(f"{self.path}: the encoders' cache cannot be used ({error})", hint) from None


def _marks(contents: Sequence[str]) -> str:
    return ", ".join("?" * len(contents))
