"""Who may ask: requests for this host, from programs and from pages of this host or of origins that are allowed.

A browser lets every page send requests to every server, one on the same machine included, and a page whose name is made to
point to this machine (DNS rebinding) may read the answers too. What gives both away are the headers Host and Origin, which
no page can set.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from recommender.server.http_errors import HttpError

_LOCAL = ("localhost", "localhost.localdomain")
#: a name or an address, and a port; whatever else stands there is no host
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::\d{1,5})?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class CallerCheck:
    """ASGI middleware that answers 400 where Host is another's name, and 403 to pages of other origins."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = (), origins: Collection[str] = ()) -> None:
        """`hosts`: names of this server beside its addresses and localhost, "*" for any, "*.example.com" for all below one.
        `origins`: as browsers send them ("https://shop.example.com"), "*" for any."""
        self.app, self.hosts = app, {host.lower() for host in hosts}
        self.origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its Host and its Origin may ask."""
        if scope["type"] in ("http", "websocket") and (
            refused := self._refused(Headers(scope=scope), scope.get("method", "GET"))
        ):
            await refused.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refused(self, headers: Headers, method: str) -> HttpError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(_name(hosts[0])):
            message = (
                f"this server does not answer for the host {', '.join(hosts)[:200]!r}; start it with --allowed-host"
            )
            return HttpError(400, message, "host_not_allowed")
        origins = headers.getlist("origin")
        foreign = [origin for origin in origins if not self._may_ask(origin.lower(), hosts[0].lower())]
        if not origins and method not in ("GET", "HEAD", "OPTIONS"):  # browsers that keep the origin back say this much
            foreign = ["another"] if headers.get("sec-fetch-site") in ("cross-site", "same-site") else []
        if foreign:
            message = f"pages of {foreign[0][:200]!r} may not ask this server; start it with --allowed-origin"
            return HttpError(403, message, "origin_not_allowed")
        return None

    def _is_ours(self, name: str) -> bool:
        """Whether a request for this host is for this server: no page elsewhere has a number for a name."""
        if name in _LOCAL or _is_address(name) or name in self.hosts or "*" in self.hosts:
            return True
        return any(host.startswith("*.") and name.endswith(host[1:]) for host in self.hosts)

    def _may_ask(self, origin: str, host: str) -> bool:
        scheme, _, place = origin.partition("://")
        own = place and _with_port(place, scheme) == _with_port(host, scheme)
        return bool(own) or origin in self.origins or "*" in self.origins


def caller_name(http: HTTPConnection) -> str:
    """Return one name for each machine that asks: an address, of IPv6 the network that one household has."""
    host = http.client.host if http.client is not None else ""
    if ":" in host and _is_address(host):
        host = str(ipaddress.ip_network(f"{host.partition('%')[0]}/64", strict=False))
    return f"caller {hashlib.sha256(host.encode()).hexdigest()[:16]}"


def _name(host: str) -> str:
    """Return a Host header without its port and brackets."""
    match = _HOST.fullmatch(host)
    if match is None:
        return ""
    return match["address"] or match["name"].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_port(place: str, scheme: str) -> str:
    has_port = ":" in place.rpartition("]")[2]
    return place if has_port else f"{place}:{_DEFAULT_PORTS.get(scheme, '')}"
