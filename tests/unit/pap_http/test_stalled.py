"""Who takes nothing of an answer loses the connection; who takes it slowly does not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from omapush.config import Api
from omapush.pap_http.connection import bounded
from omapush.pap_http.stalled import Sent, Stalled, sent
from tests.harness.authority import TestCa

LARGE = 8_000_000
"More than the buffers of both ends of a loopback connection hold."
PIECE = 100_000
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


async def large(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer with more than fits into buffers."""
    length = (b"content-length", b"%d" % LARGE)
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": b"x" * LARGE})


class Watched(Stalled):
    """The transports, for the test to see."""

    def __init__(self) -> None:
        super().__init__(15.0)
        self.transports: list[asyncio.Transport] = []

    def enter(self, transport: asyncio.Transport) -> None:
        """Note the transport."""
        super().enter(transport)
        self.transports.append(transport)


async def waiting(transport: asyncio.Transport) -> Sent:
    """What was sent once nothing more is taken."""
    async with asyncio.timeout(10):
        before = Sent(-1, False)
        while (now := sent(transport)) != before or not now.waits:
            before = now
            await asyncio.sleep(0.05)
    return now


async def taken(client: socket.socket, most: int) -> int:
    """How much of the answer comes; -1: the connection was reset."""
    loop, total = asyncio.get_running_loop(), 0
    try:
        while total < most and (more := await loop.sock_recv(client, 1_000_000)):
            total += len(more)
    except ConnectionResetError:
        return -1
    return total


@pytest.mark.parametrize("reads", [False, True])
def test_an_answer_that_is_not_taken_ends_its_connection_and_one_that_is_does_not(reads: bool) -> None:
    async def inside() -> bool:
        stalled, loop = Watched(), asyncio.get_running_loop()
        settings = Config(large, interface="asgi3", proxy_headers=False)
        settings.load()
        kind = bounded(Api(), None, stalled)
        state = ServerState()
        server = await loop.create_server(lambda: kind(settings, state, {}, loop), "127.0.0.1", 0)
        async with server:
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, server.sockets[0].getsockname())
                await loop.sock_sendall(client, GET)
                async with asyncio.timeout(10):
                    while not stalled.transports:
                        await asyncio.sleep(0.01)
                left = await waiting(stalled.transports[0])
                stalled.look(0.0)
                stalled.look(29.0)
                if reads:
                    assert await taken(client, PIECE) >= PIECE
                    async with asyncio.timeout(10):
                        while sent(stalled.transports[0]).taken <= left.taken:
                            await taken(client, PIECE)
                stalled.look(31.0)
                stalled.look(59.0)
                return stalled.transports[0].is_closing()

    assert asyncio.run(inside()) is not reads


def test_by_tls_it_is_seen_too(tmp_path: Path) -> None:
    """The event loop of the api says that nothing waits there: it is below TLS."""
    issued = TestCa(tmp_path).issue("127.0.0.1")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(issued.certificate, issued.private_key)
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname, client_side.verify_mode = False, ssl.CERT_NONE
    stalled = Watched()

    class Writing(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            stalled.enter(transport)
            transport.write(b"x" * LARGE)

    def connected(address: Any) -> ssl.SSLSocket:
        client = client_side.wrap_socket(socket.create_connection(address, timeout=10))
        assert client.recv(1)
        return client

    async def inside() -> bool:
        server = await asyncio.get_running_loop().create_server(Writing, "127.0.0.1", 0, ssl=server_side)
        client = await asyncio.to_thread(connected, server.sockets[0].getsockname())
        try:
            await waiting(stalled.transports[0])
            stalled.look(0.0)
            stalled.look(31.0)
            return stalled.transports[0].is_closing()
        finally:
            client.close()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(inside())


def test_what_has_nothing_to_send_may_be_idle() -> None:
    class Idle(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return ours if name == "socket" else default

        def abort(self) -> None:
            raise AssertionError("ended")

    ours, theirs = socket.socketpair()
    with ours, theirs:
        stalled, idle = Stalled(15.0), Idle()
        stalled.enter(idle)
        for now in range(0, 100, 5):
            stalled.look(now)
    stalled.look(200.0)
    stalled.leave(idle)
    stalled.leave(idle)
