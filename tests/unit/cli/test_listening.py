"""Sockets that the api listens on."""

import asyncio
import socket

import pytest
import uvloop

from omapush.cli import listening


def test_several_connections_are_accepted_in_one_round() -> None:
    made = 0

    class Counted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal made
            made += 1

    async def rounds() -> list[int]:
        ours = listening.sockets("127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Counted, sock=one) for one in ours]
        peers = [socket.create_connection(ours[0].getsockname()) for _ in range(40)]
        found = []
        while made < len(peers):
            before = made
            await asyncio.sleep(0)
            found.append(made - before)
        for server in servers:
            server.close()
        for peer in peers:
            peer.close()
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert max(runner.run(rounds())) == listening.TOGETHER


def test_an_address_that_is_taken_is_said_so_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        listening.sockets("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_of_either_family_is_bound(host: str, family: int) -> None:
    try:
        found = listening.sockets(host, 0)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    assert {(one.family, one.getsockname()[0]) for one in found} == {(family, host)}
    for one in found:
        one.close()
