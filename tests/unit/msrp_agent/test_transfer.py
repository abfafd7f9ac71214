"""A device that takes what was written slowly is waited for; one that takes nothing is not."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import pytest

from omapush import clock
from omapush.config import Msrp
from omapush.msrp_agent.content import Library
from omapush.msrp_agent.hub import Hub, SessionEnd
from omapush.msrp_agent.transfer import Ended, Transfer
from omapush.push.values import target
from omapush.store.contents import PIECE
from tests.harness import records

CONTENT = os.urandom(300_000)
IDLE_S = 20.0
TICKET = f"{target('sip:alice@home1.example')}{1:016d}ref.0"


class Connection:
    """Takes octets as the test says."""

    is_open = True
    is_writable = True
    written = 0
    gone = 0

    def write(self, *pieces: bytes) -> None:
        self.written += sum(map(len, pieces))
        self.is_writable = False


class OneConnection:
    """In place of the hub: whoever connects gets this connection."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.asked: tuple[object, ...] = ()

    def add(self, end: SessionEnd) -> None:
        pass

    async def connect(self, end: SessionEnd, *where: object) -> None:
        end.connection = self.connection  # type: ignore[assignment]
        self.asked = where


class Running:
    """A transfer whose first chunk is written; `now` is its clock."""

    def __init__(self, transfer: Transfer, connection: Connection) -> None:
        self.transfer = transfer
        self.connection = connection
        self.now = 1_000.0
        self.task: asyncio.Task[Ended] | None = None

    async def after(self, seconds: float) -> bool:
        """So much later, whether it still goes on."""
        self.now += seconds
        self.transfer.end.changed.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert self.task is not None
        return not self.task.done()


async def pieces(ref: str, first: int, count: int) -> Sequence[bytes]:
    return [CONTENT[at : at + PIECE] for at in range(0, len(CONTENT), PIECE)][first : first + count]


def run(monkeypatch: pytest.MonkeyPatch, work: Callable[[Running], Awaitable[None]]) -> Ended:
    async def carried_out() -> Ended:
        stream = records.stream(TICKET, size=len(CONTENT))._replace(
            state="agreed", peer_path="msrp://127.0.0.1:9/far;tcp"
        )
        hub = OneConnection()
        library = Library(pieces, 0, 1.0)
        transfer = Transfer(stream, cast(Hub, hub), library, Msrp(idle_s=IDLE_S))
        running = Running(transfer, hub.connection)
        monkeypatch.setattr(clock, "monotonic", lambda: running.now)
        transfer.end.now = lambda: running.now
        running.task = asyncio.create_task(transfer.run())
        assert await running.after(0)
        assert not running.connection.is_writable
        await work(running)
        return await running.task

    return asyncio.run(carried_out())


def test_a_chunk_that_goes_out_slowly_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(running: Running) -> None:
        first = running.connection.written
        for _ in range(4):
            running.connection.gone += 1_000
            assert await running.after(IDLE_S - 1)
        running.connection.gone = first
        running.connection.is_writable = True
        assert await running.after(1)
        assert running.connection.written > first
        running.transfer.stop("it was long enough")

    assert run(monkeypatch, work).why == "it was long enough"


def test_a_connection_on_which_nothing_moves_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(running: Running) -> None:
        running.connection.gone += 1_000
        assert await running.after(IDLE_S - 1)
        assert await running.after(IDLE_S - 1)
        assert not await running.after(1)

    assert run(monkeypatch, work).why == "the device took nothing for 20 s"


def test_what_goes_out_slowly_ends_when_all_of_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(running: Running) -> None:
        for _ in range(200):
            running.connection.gone += 1
            if not await running.after(IDLE_S - 1):
                break
        assert running.now == pytest.approx(1_000 + Msrp().total_s, abs=IDLE_S)

    assert run(monkeypatch, work).why == "the device took nothing for 20 s"


@pytest.mark.parametrize("relays", [0, 1, 3])
def test_the_first_hop_is_connected_to_and_only_the_device_itself_has_its_fingerprint(relays: int) -> None:
    """RFC 4975 14.4; a relay has a certificate of its own, which a root has to vouch for."""
    path = [*(f"msrps://192.0.2.{number}:9/relay;tcp" for number in range(1, relays + 1))]
    fingerprints = (("sha-256", "00" * 32),)
    stream = records.stream(TICKET, size=1)._replace(
        state="agreed",
        peer_path=" ".join([*path, "msrps://192.0.2.99:9/far;tcp"]),
        peer_fingerprints=fingerprints,
    )
    hub = OneConnection()

    async def bound() -> None:
        await Transfer(stream, cast(Hub, hub), Library(pieces, 0, 1.0), Msrp())._bind()

    asyncio.run(bound())

    hop, shown = hub.asked
    assert str(hop) == (path[0] if path else "msrps://192.0.2.99:9/far;tcp")
    assert shown == (() if relays else fingerprints)
