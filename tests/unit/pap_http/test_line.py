"""Pushes begin in turn, a few in each round of the event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from omapush.pap_http.line import EACH_ROUND, Line


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_while_nobody_is_there_nobody_waits() -> None:
    async def work() -> None:
        one = Line()
        for _ in range(3 * EACH_ROUND):
            await asyncio.wait_for(one.turn(), 1)
            await asyncio.sleep(0)
            assert one.wait_s(1e9) == 0

    run(work())


def test_of_many_that_come_at_once_a_few_begin_in_each_round_in_their_order() -> None:
    async def work() -> None:
        one, begun, before = Line(), list[int](), 0

        async def push(number: int) -> None:
            await one.turn()
            begun.append(number)

        tasks = [asyncio.create_task(push(number)) for number in range(10 * EACH_ROUND)]
        while len(begun) < len(tasks):
            await asyncio.sleep(0)
            assert len(begun) - before <= EACH_ROUND
            before = len(begun)
        assert begun == sorted(begun)

    run(work())


def test_what_is_no_push_gets_in_between() -> None:
    async def work() -> None:
        one, begun = Line(), list[int]()

        async def push() -> None:
            await one.turn()
            begun.append(1)

        tasks = [asyncio.create_task(push()) for _ in range(10 * EACH_ROUND)]
        await asyncio.sleep(0)
        await asyncio.create_task(asyncio.sleep(0))
        assert len(begun) <= 4 * EACH_ROUND
        await asyncio.gather(*tasks)

    run(work())


def test_how_long_the_first_has_waited_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        one = Line()
        monkeypatch.setattr("omapush.clock.monotonic", lambda: 100.0)
        tasks = [asyncio.create_task(one.turn()) for _ in range(2 * EACH_ROUND)]
        await asyncio.sleep(0)
        assert one.wait_s(103.0) == 3.0
        await asyncio.gather(*tasks)
        assert one.wait_s(103.0) == 0

    run(work())


def test_who_goes_away_does_not_cost_others_their_turn() -> None:
    async def work() -> None:
        one = Line()
        tasks = [asyncio.create_task(one.turn()) for _ in range(5 * EACH_ROUND)]
        await asyncio.sleep(0)
        for task in tasks[EACH_ROUND::2]:
            task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)
        assert done.count(None) == len(tasks) - len(tasks[EACH_ROUND::2])

    run(work())
