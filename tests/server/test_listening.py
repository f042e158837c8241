"""A port is held from the first moment on, and clients are let in at the last."""

import asyncio
import socket

import pytest

from recommender.errors import ConfigError
from recommender.server.listening import listen, reserved


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_port_is_held_before_anybody_can_connect():
    with reserved("127.0.0.1", 0) as sockets:
        port = sockets[0].getsockname()[1]
        assert not connects(port)
        for host in ("127.0.0.1", "0.0.0.0"):  # two that begin at once do not both load a model
            with pytest.raises(ConfigError, match=f"port {port} of {host} is taken"), reserved(host, port):
                pass
        listen(sockets)
        assert connects(port)
    assert not connects(port)


def test_what_connections_left_behind_keeps_no_successor_out():
    with reserved("127.0.0.1", 0) as sockets:
        port = sockets[0].getsockname()[1]
        listen(sockets)
        client = socket.create_connection(("127.0.0.1", port))
        sockets[0].accept()[0].close()  # who closes first has the rest of the connection
    client.close()
    with reserved("127.0.0.1", port) as sockets:
        listen(sockets)
        assert connects(port)


def test_all_addresses_of_a_host_have_one_port():
    with reserved("", 0) as sockets:
        assert len({one.getsockname()[1] for one in sockets}) == 1


def test_connections_do_not_wait_for_acknowledgements():
    async def nodelay():
        told = asyncio.get_running_loop().create_future()

        def connected(_, writer):
            one = writer.get_extra_info("socket")
            told.set_result(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with reserved("127.0.0.1", 0) as sockets:
            listen(sockets)
            server = await asyncio.start_server(connected, sock=sockets[0])
            _, writer = await asyncio.open_connection("127.0.0.1", sockets[0].getsockname()[1])
            found = await told
            writer.close()
            server.close()
        return found

    assert asyncio.run(nodelay()) == 1
