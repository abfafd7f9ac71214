"""A worker reads contents in its event loop: in order, and a Redis that hangs is never in its way."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from omapush.config import RedisSection
from omapush.errors import StoreUnavailable
from omapush.msrp_agent.source import Source
from omapush.store import client, contents, pushes
from omapush.store.client import Store
from omapush.store.contents import PIECE
from tests.harness.authority import TestCa
from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.wait import wait_until
from tests.store.conftest import Make

CONTENT = os.urandom(3 * PIECE + 1_000)
T = TypeVar("T")


def stored(store: Store, make: Make, content: bytes = CONTENT) -> str:
    """A push with this content; its ref."""
    one = make.submission("sip:alice@home1.example")
    push = one.push._replace(size=len(content))
    upload = contents.upload(store, push.ref, content)
    assert pushes.accept_all(store, [one._replace(push=push, content=b"", upload=upload.name)]) == [True]
    return push.ref


def run(
    store: Store, work: Callable[[Source], Awaitable[T]], patience_s: float = 10.0, connections: int = 3
) -> T:
    async def carried_out() -> T:
        source = Source(store, patience_s, connections)
        try:
            return await work(source)
        finally:
            source.close()

    return asyncio.run(carried_out())


@pytest.mark.parametrize("connections", [1, 3])
def test_pieces_of_several_contents_that_are_read_at_once_come_to_who_asked(
    store: Store, make: Make, connections: int
) -> None:
    other = os.urandom(2 * PIECE)
    first, second = stored(store, make), stored(store, make, other)

    async def work(source: Source) -> list[object]:
        asked = [(first, 0, 4), (second, 1, 1), (first, 2, 2), (second, 0, 9), (first, 3, 1)]
        return await asyncio.gather(*(source.pieces(*one) for one in asked))

    found = run(store, work, connections=connections)

    cut = [CONTENT[at : at + PIECE] for at in range(0, len(CONTENT), PIECE)]
    halves = [other[:PIECE], other[PIECE:]]
    assert found == [cut, [halves[1]], cut[2:], halves, cut[3:]]


def test_small_content_is_found_with_its_push_and_what_is_erased_is_none(store: Store, make: Make) -> None:
    one = make.submission("sip:alice@home1.example")
    assert pushes.accept_all(store, [one]) == [True]

    assert run(store, lambda source: source.pieces(one.push.ref, 0, 4)) == [one.content]
    assert run(store, lambda source: source.pieces("0" * 20, 0, 4)) is None


def test_after_a_lost_connection_the_next_question_makes_another(store: Store, make: Make) -> None:
    ref = stored(store, make)

    async def work(source: Source) -> None:
        assert await source.pieces(ref, 0, 1) == [CONTENT[:PIECE]]
        await asyncio.to_thread(store.db.client_kill_filter, _type="normal", skipme=True)
        try:
            found = await source.pieces(ref, 1, 1)  # Redis may have closed it without our having seen it
        except StoreUnavailable:
            found = await source.pieces(ref, 1, 1)
        assert found == [CONTENT[PIECE : 2 * PIECE]]

    run(store, work)


def test_a_redis_that_hangs_is_an_error_after_its_time_and_holds_up_nothing_else(
    store: Store, make: Make
) -> None:
    ref = stored(store, make)

    async def work(source: Source) -> int:
        assert await source.pieces(ref, 0, 1)
        await asyncio.to_thread(store.db.client_pause, 600, True)
        ticks, asked = 0, asyncio.ensure_future(source.pieces(ref, 0, 1))
        while not asked.done():
            await asyncio.sleep(0.01)
            ticks += 1
        with pytest.raises(StoreUnavailable, match="no answer within"):
            await asked
        return ticks

    assert run(store, work, patience_s=0.1) > 1


def test_who_waits_no_longer_leaves_the_answers_of_others_in_their_order(store: Store, make: Make) -> None:
    ref = stored(store, make)

    async def work(source: Source) -> object:
        await source.pieces(ref, 0, 1)
        given_up = asyncio.ensure_future(source.pieces(ref, 0, 2))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(source.pieces(ref, 3, 1))
        await asyncio.sleep(0)
        given_up.cancel()
        return await other

    assert run(store, work, connections=1) == [CONTENT[3 * PIECE :]]


def test_reads_at_once_are_spread_over_the_connections(store: Store, make: Make) -> None:
    ref = stored(store, make)

    async def work(source: Source) -> int:
        for _ in range(2):
            await asyncio.gather(*(source.pieces(ref, piece, 1) for piece in range(4)))
        clients = await asyncio.to_thread(store.db.client_list)
        return sum(one["cmd"] == "hget" for one in clients)

    assert run(store, work, connections=3) == 3


@pytest.fixture(params=["tcp", "tls"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The store of a Redis that is reached by the network."""
    (port,) = free_ports(1)
    command: list[str | Path] = [shutil.which("redis-server") or "redis-server", "--bind", "127.0.0.1"]
    command += ["--dir", str(tmp_path), "--save", ""]
    settings = RedisSection(url=f"redis://127.0.0.1:{port}/0")
    if request.param == "tls":
        authority = TestCa(tmp_path / "ca")
        server = authority.issue("localhost")
        command += ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
        command += ["--tls-cert-file", server.certificate, "--tls-key-file", server.private_key]
        command += ["--tls-ca-cert-file", authority.certificate]
        trusted = str(authority.certificate)
        settings = RedisSection(url=f"rediss://localhost:{port}/0", trusted_certificates=trusted)
    else:
        command += ["--port", str(port)]
    with Process(command, log=tmp_path / "redis.log") as running:
        wait_until(lambda: "Ready to accept" in running.log.read_text(), 10, "Redis")
        store = client.connect(settings)
        yield store
        store.db.close()


@pytest.mark.parametrize("connections", [1, 3])
def test_contents_come_over_the_network_and_by_tls(elsewhere: Store, make: Make, connections: int) -> None:
    contents_ = [os.urandom(size) for size in (PIECE + 1, 5 * PIECE, 4 * PIECE + 700, 300_000)]
    refs = [stored(elsewhere, make, one) for one in contents_]

    async def whole(source: Source, ref: str) -> bytes:
        parts = await asyncio.gather(*(source.pieces(ref, first, 2) for first in (0, 2, 4)))
        return b"".join(piece for part in parts for piece in part or ())

    async def work(source: Source) -> list[bytes]:
        return await asyncio.gather(*(whole(source, ref) for ref in refs * 3))

    assert run(elsewhere, work, connections=connections) == contents_ * 3
