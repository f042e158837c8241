"""Keys of callers: what each may do, how often, until when. Only salted hashes are kept; a key is shown once.

A key holds 256 random bits, so a plain hash keeps it as safe as a slow one would, and a check takes microseconds. A key
that is revoked by another process is refused within a second.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Engine, insert, select, update

from recommender.errors import DataError, did_you_mean
from recommender.store.audit import AuditLog
from recommender.store.database import reading, writing
from recommender.store.tables import keys

Scope = Literal["recommend", "explain", "feedback", "events", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "rk"
_TOKEN = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
#: seconds after which what another process changed is read
FRESH = 1.0


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. `rate`: requests a minute, None: no limit. Times are seconds since 1970."""

    prefix: str
    name: str
    scopes: tuple[Scope, ...]
    rate: int | None
    created: float
    expires: float | None
    revoked: float | None

    def state(self, now: float) -> Literal["valid", "expired", "revoked"]:
        """Return whether the key counts at a time."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "valid"


class ApiKeys:
    """The keys of one store."""

    def __init__(self, engine: Engine, log: AuditLog) -> None:
        """`log`: where it is written down that a key was made or revoked."""
        self.engine, self.log = engine, log
        self._read_at = float("-inf")
        self._known: Mapping[str, tuple[ApiKey, bytes, bytes]] = {}

    def add(
        self, name: str, scopes: Sequence[str], rate: int | None = None, days: float | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with the token that its caller sends. Raises DataError for what no key can be."""
        for scope in scopes:
            if scope not in SCOPES:
                raise DataError(
                    f"unknown scope {scope!r}", did_you_mean(scope, SCOPES) or f"there are {', '.join(SCOPES)}"
                )
        if not name.strip() or not scopes:
            raise DataError("a key needs a name and at least one scope", f"scopes are {', '.join(SCOPES)}")
        if (rate is not None and rate < 1) or (days is not None and days <= 0):
            raise DataError("a rate is 1 a minute or more, and a key lasts longer than 0 days", "give other numbers")
        prefix, secret, salt, now = secrets.token_hex(6), secrets.token_urlsafe(32), os.urandom(16), time.time()
        chosen = tuple(scope for scope in SCOPES if scope in scopes)
        expires = None if days is None else now + days * 86_400
        row = {"prefix": prefix, "name": name.strip()[:200], "scopes": " ".join(chosen), "rate": rate, "created": now}
        with writing(self.engine) as connection:
            connection.execute(insert(keys).values(**row, salt=salt, hash=_hash(salt, secret), expires=expires))
            told = {"done": "made", "key": prefix, "name": row["name"], "scopes": list(chosen), "expires": expires}
            self.log.add("key", told, connection)
        self._read_at = float("-inf")
        return ApiKey(prefix, name.strip(), chosen, rate, now, expires, None), f"{PREFIX}_{prefix}_{secret}"

    def all(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        self._read()
        return sorted((key for key, _, _ in self._known.values()), key=lambda key: key.created)

    def any(self) -> bool:
        """Return whether a key was ever made, valid or not."""
        if time.monotonic() - self._read_at > FRESH:
            self._read()
        return bool(self._known)

    def revoke(self, name: str) -> ApiKey:
        """Refuse a key from now on, by its prefix or its name. Raises DataError if there is no such key, or several."""
        found = [key for key in self.all() if name in (key.prefix, key.name, f"{PREFIX}_{key.prefix}")]
        found = [key for key in found if key.revoked is None] or found
        if len(found) != 1:
            several = f"{len(found)} keys are called {name!r}" if found else f"there is no key {name!r}"
            raise DataError(several, "recommender keys list shows their prefixes")
        with writing(self.engine) as connection:
            connection.execute(update(keys).where(keys.c.prefix == found[0].prefix).values(revoked=time.time()))
            self.log.add("key", {"done": "revoked", "key": found[0].prefix, "name": found[0].name}, connection)
        self._read_at = float("-inf")
        return found[0]

    def find(self, token: str) -> ApiKey | None:
        """Return the key of a token, whatever its state; None for a token that is none."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        if time.monotonic() - self._read_at > FRESH:
            self._read()
        known = self._known.get(match[1])
        if known is None:
            return None
        key, salt, expected = known
        return key if hmac.compare_digest(_hash(salt, match[2]), expected) else None

    def _read(self) -> None:
        with reading(self.engine) as connection:
            rows = connection.execute(select(keys)).all()
        self._known = {
            row.prefix: (
                ApiKey(row.prefix, row.name, _scopes(row.scopes), row.rate, row.created, row.expires, row.revoked),
                bytes(row.salt),
                bytes(row.hash),
            )
            for row in rows
        }
        self._read_at = time.monotonic()


def _scopes(text: str) -> tuple[Scope, ...]:
    return tuple(scope for scope in SCOPES if scope in text.split())


def _hash(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()
