"""Room for large bodies: in order, given back however a request ends, never more than there is."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any

import pytest
from litestar.connection import ASGIConnection

from omapush.pap_http import large_bodies
from omapush.pap_http.large_bodies import LARGE, MEDIUM_SHARE, SMALL, LargeBodies, NoRoom

MB = 1_000_000
AtEnd = list[Callable[[], None]]


def request(headers: Mapping[str, str]) -> tuple[ASGIConnection[Any, Any, Any, Any], AtEnd]:
    at_end: AtEnd = []
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {"type": "http", "headers": raw, "omapush.at_end": at_end}
    return ASGIConnection(scope), at_end


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test as pytest can call it."""

    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        asyncio.run(test(*args, **named))

    return run


def of(size: int) -> tuple[ASGIConnection[Any, Any, Any, Any], AtEnd]:
    return request({"content-length": str(size)})


@pytest.mark.parametrize(
    ("headers", "large", "medium"),
    [
        ({}, 0, 0),
        ({"content-length": str(SMALL)}, 0, 0),
        ({"content-length": str(SMALL + 1)}, 0, SMALL + 1),
        ({"content-length": str(LARGE)}, 0, LARGE),
        ({"content-length": str(LARGE + 1)}, LARGE + 1, 0),
        ({"content-length": "9" * 30}, 10 * MB, 0),
        ({"content-length": "-5"}, 0, 0),
        ({"transfer-encoding": "chunked"}, 10 * MB, 0),
    ],
)
@in_a_loop
async def test_a_body_takes_as_much_room_as_it_may_need(
    headers: Mapping[str, str], large: int, medium: int
) -> None:
    bodies = LargeBodies(together=10 * MB, largest=10 * MB)
    connection, at_end = request(headers)
    await bodies.admit(connection)

    room = 10 * MB // MEDIUM_SHARE
    assert (bodies.large.free, bodies.medium.free) == (10 * MB - large, room - medium)
    assert bodies.is_idle == (not at_end)
    for give_back in at_end:
        give_back()
    assert (bodies.large.free, bodies.medium.free) == (10 * MB, room)
    assert bodies.is_idle


@in_a_loop
async def test_who_waits_gets_room_in_order_of_arrival() -> None:
    bodies = LargeBodies(together=10 * MB, largest=10 * MB)
    first, ended = of(8 * MB)
    await bodies.admit(first)
    order: list[int] = []

    async def wait(number: int, size: int) -> None:
        await bodies.admit(of(size)[0])
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number, size in enumerate((5 * MB, 2 * MB, 3 * MB)):
            group.create_task(wait(number, size))
        await asyncio.sleep(0)
        assert order == []
        ended[0]()
    assert order == [0, 1, 2]
    assert bodies.large.free == 0


@in_a_loop
async def test_who_finds_no_room_is_told_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "WAIT_S", 0.01)
    bodies = LargeBodies(together=10 * MB, largest=10 * MB)
    await bodies.admit(of(8 * MB)[0])
    with pytest.raises(NoRoom):
        await bodies.admit(of(5 * MB)[0])

    await bodies.admit(of(2 * MB)[0])
    assert bodies.large.free == 0
    leaves = asyncio.create_task(bodies.admit(of(5 * MB)[0]))
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert bodies.large.free == 0


@in_a_loop
async def test_those_whose_time_is_over_at_the_same_moment_are_all_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second would have room as the first goes, and goes as well."""
    monkeypatch.setattr(large_bodies, "WAIT_S", 0.01)
    bodies = LargeBodies(together=10 * MB, largest=10 * MB)
    await bodies.admit(of(7 * MB)[0])

    refused = await asyncio.gather(
        *(bodies.admit(of(size)[0]) for size in (5 * MB, 2 * MB, 2 * MB)), return_exceptions=True
    )

    assert [type(one) for one in refused] == [NoRoom] * 3
    await bodies.admit(of(3 * MB)[0])


@in_a_loop
async def test_medium_bodies_are_bounded_together_and_wait_behind_no_large_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_bodies, "WAIT_S", 0.01)
    bodies = LargeBodies(together=16 * LARGE, largest=16 * LARGE)
    await bodies.admit(of(16 * LARGE)[0])

    for _ in range(16 // MEDIUM_SHARE):
        await bodies.admit(of(LARGE)[0])
    with pytest.raises(NoRoom):
        await bodies.admit(of(SMALL + 1)[0])
    await bodies.admit(of(SMALL)[0])


@in_a_loop
async def test_where_little_is_taken_together_one_medium_body_still_is() -> None:
    bodies = LargeBodies(together=2 * LARGE, largest=2 * LARGE)
    await bodies.admit(of(LARGE)[0])

    bodies.resize(MEDIUM_SHARE * 3 * LARGE)
    await bodies.admit(of(LARGE)[0])
    await bodies.admit(of(LARGE)[0])
    assert bodies.medium.free == 0
