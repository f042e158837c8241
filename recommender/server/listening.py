"""The place where a server listens, taken before anything is loaded for it: a port that is taken is said at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from recommender.errors import ConfigError

_BACKLOG = 2048  # that of uvicorn
_REASONS = dict.fromkeys((errno.EACCES, errno.EPERM), "may not be used by this user")


@contextmanager
def reserved(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Hold a port of every address of `host` while the block runs; yield sockets that do not listen yet.

    Nobody else can take the port meanwhile, and who connects is refused until `listen`. Raises ConfigError for a host that
    is not this machine's, and for a port that is taken or may not be used.
    """
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        foreign: OSError | None = None
        for family, address in _addresses(host, port):
            number = sockets[0].getsockname()[1] if sockets else port  # any free one is the same for all addresses
            try:
                sockets.append(stack.enter_context(_bound(family, (address[0], number, *address[2:]))))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise _not_free(host, number, error) from None
                foreign = error  # of localhost: a machine may have one of the two protocols only
        if not sockets:
            reason = foreign.strerror if foreign is not None else "it has no address"
            raise ConfigError(f"host {host!r} is no address of this machine ({reason})", "name one of its own: --host")
        yield sockets


def listen(sockets: Sequence[socket.socket]) -> None:
    """Let clients connect."""
    for one in sockets:
        # what is left of its connections keeps no successor out
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.listen(_BACKLOG)


def _addresses(host: str, port: int) -> Iterator[tuple[socket.AddressFamily, Any]]:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"host {host!r} is not known here ({reason})", "name one of this machine: --host") from None
    yield from dict.fromkeys((family, address) for family, _, _, _, address in found)


def _bound(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that holds an address alone."""
    # only for a socket that says it is TCP does asyncio turn Nagle's algorithm off; with it the second part of each answer
    # on a kept connection waits 40 ms for the client's acknowledgement of the first
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # what a former server's connections have left does not count; another one that only holds the port does, which
        # the system tells by whether it goes on to say so
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        bound.close()
        raise
    return bound


def _not_free(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} of {host} is taken", "end what listens there, or name another one: --port")
    reason = _REASONS.get(error.errno or 0, f"cannot be used ({error.strerror})")
    return ConfigError(f"port {port} of {host} {reason}", "name another one: --port")
