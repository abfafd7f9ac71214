"""Who takes nothing of an answer loses the connection; who takes it slowly does not."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from omapush.config import Api
from omapush.pap_http.connection import bounded
from omapush.pap_http.stalled import Stalled

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


async def waiting(transport: asyncio.Transport) -> int:
    """Bytes that wait to be sent once nothing more leaves."""
    async with asyncio.timeout(10):
        before = -1
        while (now := transport.get_write_buffer_size()) != before or not now:
            before = now
            await asyncio.sleep(0.02)
    return before


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
                        while stalled.transports[0].get_write_buffer_size() >= left:
                            await taken(client, PIECE)
                stalled.look(31.0)
                stalled.look(59.0)
                return stalled.transports[0].is_closing()

    assert asyncio.run(inside()) is not reads


def test_what_has_nothing_to_send_may_be_idle() -> None:
    class Idle(asyncio.Transport):
        def get_write_buffer_size(self) -> int:
            return 0

        def abort(self) -> None:
            raise AssertionError("ended")

    stalled, idle = Stalled(15.0), Idle()
    stalled.enter(idle)
    for now in range(0, 100, 5):
        stalled.look(now)
    stalled.leave(idle)
    stalled.leave(idle)
