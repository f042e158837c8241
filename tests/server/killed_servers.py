"""Servers in processes of their own, which are killed at any moment while others use them."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence

import uvicorn

from recommender.config import ServingConfig
from recommender.server.app import create_app
from recommender.server.uvicorn_server import server_config
from recommender.store.store import Store
from tests.server.http_server import until

#: seconds that a server lives at most
LONGEST = 0.8


def forked_server(engine, where, master, **settings):
    """Serve from a process of its own; returns its number and its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    process = os.fork()
    if not process:
        try:
            app = create_app(engine, "tiny", ServingConfig(**settings), Store.open(where, master))
            uvicorn.Server(server_config(app, ServingConfig(), log_level="critical")).run(sockets=[listening])
        finally:
            os._exit(1)
    port = listening.getsockname()[1]
    listening.close()
    return process, port


def alive(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    return connection.getresponse().status == 200


def kill_at_some_moment(
    kill: int, serve: Callable[[], tuple[int, int]], users: Sequence[Callable[[int], None]]
) -> None:
    """Serve, let all users work in threads of their own, each given the port, and kill the server; wait until all is over.

    `kill`: decides when; every fifth server is killed while it starts.
    """
    process, port = serve()
    threads = [threading.Thread(target=user, args=(port,)) for user in users]
    for thread in threads:
        thread.start()
    if kill % 5:
        until(lambda: alive(port))
    time.sleep(random.Random(kill).uniform(0, LONGEST))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    for thread in threads:
        thread.join()
