"""A served process that is told to end answers first what it has begun."""

import json
import socket
import threading

import pytest

from recommender.config import ServingConfig
from recommender.data.catalogue import Catalogue
from recommender.model.checkpoint import save_pretrained
from recommender.server.app import create_app
from recommender.server.listening import listen, reserved
from recommender.server.uvicorn_server import ListeningServer, server_config
from tests.conftest import write_tables
from tests.server.http_server import RANK, check_that_it_drains, until


@pytest.mark.parametrize("stream", [pytest.param(False, marks=pytest.mark.slow), True])
def test_sigterm_drains(make_checkpoint, catalogue, histories, config, tmp_path, stream):
    tables = write_tables(tmp_path, catalogue, histories)
    checkpoint = make_checkpoint(settings=config.updated({"data.items": tables["items"], "justify.max_new_tokens": 60}))
    checkpoint.catalogue = Catalogue.load(tables["items"])
    save_pretrained(checkpoint, tmp_path / "model")
    check_that_it_drains(str(tmp_path / "model"), stream=stream)


def test_a_server_says_where_it_listens(embedded, caplog):
    caplog.set_level("INFO", "uvicorn.error")
    with reserved("127.0.0.1", 0) as sockets:
        port = sockets[0].getsockname()[1]
        limits = ServingConfig(port=0)
        server = ListeningServer(server_config(create_app(embedded, "tiny", limits), limits, log_config=None))
        listen(sockets)
        thread = threading.Thread(target=server.run, args=(sockets,))
        thread.start()
        until(lambda: f"running on http://127.0.0.1:{port} " in caplog.text)
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


HANDSHAKE = "Connection: keep-alive, Upgrade\r\nUpgrade: {}\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n"


def handshake(server, path, method="GET", upgrade="websocket", further=""):
    """Return status, headers and body of the answer to an opening handshake."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{HANDSHAKE.format(upgrade, 'x' * 22 + '==')}{further}\r\n"
        )
        client.sendall(head.encode())
        head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).decode().partition("\r\n\r\n")
    return int(head.split(" ", 2)[1]), head.lower(), body


@pytest.mark.parametrize("path", ["/", RANK, "/v1/chat/completions", "/healthz", "/metrics", "/docs", "/ws", "//%00"])
def test_a_handshake_of_websockets_is_refused_in_one_answer_and_counted(embedded_server, path, caplog):
    counted = 'recommender_requests_total{route="other",status="426"}'
    before = embedded_server.metric(counted)
    status, head, body = handshake(embedded_server, path)
    assert status == 426 and "upgrade required" in head and "connection: close" in head
    assert json.loads(body)["error"]["code"] == "no_websocket"
    assert embedded_server.metric(counted) == before + 1
    assert not caplog.records  # no traceback, no line for each


def test_handshakes_of_other_kinds_of_clients(embedded_server):
    assert handshake(embedded_server, RANK, "POST", "WebSocket", "Content-Length: 5\r\n")[0] == 426
    assert handshake(embedded_server, "/", further="Origin: https://evil.example\r\n")[0] == 426
    # what may be ignored is: HTTP/2 over plain text is an offer
    assert handshake(embedded_server, "/healthz", upgrade="h2c", further="Connection: close\r\n")[0] == 200
    assert embedded_server.get("/healthz")[0] == 200
