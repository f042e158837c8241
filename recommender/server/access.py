"""Who may do what: keys of the store and tokens of an identity provider, a scope for every route, a rate for every caller.

Every route is closed to who has neither, but for `/healthz` and the files of the page, which hold nothing. A server that
only this machine can reach, and whose store has no keys, is open, as a program on one's desk should be.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from recommender.errors import RecommenderError
from recommender.server.http_errors import HttpError, http_error_of
from recommender.server.tokens import TokenCheck
from recommender.store.keys import SCOPES, ApiKeys
from recommender.store.keys import Scope as Permission

#: open to everybody: whether the process lives, and files that hold nothing of anybody
_OPEN = ("/healthz",)
_PAGE = "/page/"
AGENTS = "/mcp"
#: path or beginning of paths -> what a caller needs for it; all else is for operators
_NEEDED: Mapping[str, tuple[Permission, ...]] = {
    **dict.fromkeys(("/v1/recommendations", "/v1/chat/completions", "/v1/items", "/v1/models"), ("recommend",)),
    **dict.fromkeys(("/v1/parameters", "/v1/consent"), ("recommend",)),
    "/v1/explanations": ("explain",),
    "/v1/feedback": ("feedback",),
    "/v1/events": ("events",),
    AGENTS: ("recommend", "explain", "feedback"),  # its tools do all of that
}
_CALLER = "recommender.caller"
#: a caller who may not ask, or a store that cannot say at the moment
_REFUSALS = (HttpError, RecommenderError)
#: callers whose rate is remembered
_REMEMBERED = 10_000
_MINUTE = 60.0


@dataclass(frozen=True)
class Caller:
    """Who asks. `scopes`: what they may do. `user`: the only person whose data they reach; None: anybody's. `rate`: requests
    a minute, None: no limit."""

    name: str
    scopes: tuple[Permission, ...] = SCOPES
    user: str | None = None
    rate: int | None = None


#: who asks where nobody is asked who they are
ANYBODY = Caller("")


class Gate:
    """Finds out who a caller is. Raises HttpError 401 for a key or token that does not count."""

    def __init__(self, keys: ApiKeys | None = None, tokens: TokenCheck | None = None, closed: bool = False) -> None:
        """`closed`: ask for keys even where there is none yet."""
        self.keys, self.tokens, self._closed = keys, tokens, closed

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are: no key was ever made, no identity provider named."""
        if self._closed or self.tokens is not None:
            return False
        return self.keys is None or not self.keys.any()

    def caller(self, headers: Headers) -> Caller:
        """Return who sends these headers."""
        if self.is_open:
            return ANYBODY
        given = headers.getlist("authorization")
        kind, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if kind.lower() != "bearer" or not secret.strip():
            raise HttpError(401, "this server answers to keys only: send Authorization: Bearer KEY", "no_key")
        secret = secret.strip()
        if self.keys is not None and (key := self.keys.find(secret)) is not None:
            if (state := key.state(time.time())) != "valid":
                raise HttpError(401, f"the key is {state}", f"{state}_key")
            return Caller(f"key {key.prefix}", key.scopes, rate=key.rate)
        if self.tokens is not None:
            subject = self.tokens.subject(secret)
            return Caller(f"person {subject.user}", subject.scopes, subject.user, subject.rate)
        raise HttpError(401, "the key is not known here", "unknown_key")


class Access:
    """ASGI middleware that lets a request pass if its caller may, and tells the routes who it is."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app, self.gate, self._rates = app, gate, _Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 403 or 429 to who may not ask."""
        if scope["type"] not in ("http", "websocket") or is_open_path(scope["path"], scope.get("method", "")):
            await self.app(scope, receive, send)
            return
        try:
            caller = self.gate.caller(Headers(scope=scope))
            check_may(caller, scope["path"], scope.get("method", ""))
            self._rates.check(caller)
        except _REFUSALS as error:
            refused = http_error_of(error)
            response = refused.response()
            if refused.status_code == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})[_CALLER] = caller
        await self.app(scope, receive, send)


def is_open_path(path: str, method: str) -> bool:
    """Return whether everybody may read a path."""
    return method in ("GET", "HEAD") and (path in (*_OPEN, "/", "/favicon.ico") or path.startswith(_PAGE))


def needed(path: str, method: str) -> tuple[Permission, ...]:
    """Return what a caller needs for a route. What changes the catalogue, and all that is not named, is for operators."""
    if path.startswith("/v1/items") and method not in ("GET", "HEAD"):
        return ("admin",)
    return next((p for start, p in _NEEDED.items() if path == start or path.startswith(f"{start}/")), ("admin",))


def check_may(caller: Caller, path: str, method: str) -> None:
    """Raise HttpError 403 if a caller may not use a route."""
    if missing := [scope for scope in needed(path, method) if scope not in caller.scopes]:
        raise HttpError(403, f"this key may not do that: it needs the scope {', '.join(missing)}", "missing_scope")
    if caller.user is not None and path == AGENTS:  # its tools name people as they like
        raise HttpError(403, "a person's token cannot be used by agents: give them a key", "missing_scope")


def caller_of(http: HTTPConnection) -> Caller:
    """Return who sends a request."""
    caller = http.scope.get("state", {}).get(_CALLER, ANYBODY)
    assert isinstance(caller, Caller)
    return caller


def own_user(http: HTTPConnection, user: str | None) -> str | None:
    """Return for whom a request is: a person's own token is for that person. Raises HttpError 403 for another one."""
    caller = caller_of(http)
    if caller.user is None:
        return user
    if user not in (None, caller.user):
        raise HttpError(403, "a person's token reaches that person's data only", "foreign_user", "user")
    return caller.user


class _Rates:
    """How much each caller may still ask: a bucket that fills evenly and holds a minute's requests."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, caller: Caller) -> None:
        """Count a request. Raises HttpError 429 if the caller has asked too much."""
        if caller.rate is None:
            return
        now = time.monotonic()
        with self._lock:
            left, then = self._buckets.pop(caller.name, (float(caller.rate), now))
            left = min(caller.rate, left + (now - then) * caller.rate / _MINUTE)
            self._buckets[caller.name] = (left - 1 if left >= 1 else left, now)
            while len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        if left < 1:
            raise HttpError(429, f"this caller may ask {caller.rate} times a minute", "rate_limit")
