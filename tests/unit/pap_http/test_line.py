"""Pushes begin in turn, a few in each round of the event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from omapush.pap_http.line import TOGETHER, Line


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_while_nobody_is_there_nobody_waits() -> None:
    async def work() -> None:
        one = Line()
        for _ in range(3 * TOGETHER):
            await asyncio.wait_for(one.turn(), 1)
            await asyncio.sleep(0)
            assert one.wait_s() == 0

    run(work())


def test_of_many_that_come_at_once_a_few_begin_in_each_round_in_their_order() -> None:
    async def work() -> None:
        one, begun, before = Line(), list[int](), 0

        async def push(number: int) -> None:
            await one.turn()
            begun.append(number)

        tasks = [asyncio.create_task(push(number)) for number in range(10 * TOGETHER)]
        while len(begun) < len(tasks):
            await asyncio.sleep(0)
            assert len(begun) - before <= TOGETHER
            before = len(begun)
        assert begun == sorted(begun)

    run(work())


def test_what_is_no_push_gets_in_between() -> None:
    async def work() -> None:
        one, begun = Line(), list[int]()

        async def push() -> None:
            await one.turn()
            begun.append(1)

        tasks = [asyncio.create_task(push()) for _ in range(10 * TOGETHER)]
        await asyncio.sleep(0)
        await asyncio.create_task(asyncio.sleep(0))
        assert len(begun) <= 4 * TOGETHER
        await asyncio.gather(*tasks)

    run(work())


def test_how_long_one_more_would_wait_follows_from_how_many_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("omapush.clock.monotonic", lambda: now)

    async def work() -> None:
        nonlocal now
        one = Line()
        tasks = [asyncio.create_task(one.turn()) for _ in range(100 * TOGETHER)]
        await asyncio.sleep(0)
        assert one.wait_s() == 0, "nothing is known yet"
        for _ in range(40):
            now += 0.01
            await asyncio.sleep(0)
        waiting = sum(not task.done() for task in tasks)
        assert one.wait_s() == pytest.approx(waiting / (TOGETHER / 0.01), rel=0.15)
        await asyncio.gather(*tasks)
        assert one.wait_s() == 0

    run(work())


def test_after_long_rounds_fewer_begin_in_one_and_after_short_ones_more_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("omapush.clock.monotonic", lambda: now)

    async def work() -> None:
        nonlocal now
        one = Line()
        tasks = [asyncio.create_task(one.turn()) for _ in range(100 * TOGETHER)]

        async def begin_in(seconds: float) -> int:
            nonlocal now
            before = sum(task.done() for task in tasks)
            now += seconds
            await asyncio.sleep(0)
            return sum(task.done() for task in tasks) - before

        for _ in range(8):
            await begin_in(0.2)
        assert 1 < await begin_in(0.2) < TOGETHER / 2
        for _ in range(2 * TOGETHER):
            await begin_in(0.001)
        assert await begin_in(0.001) == TOGETHER
        await asyncio.gather(*tasks)

    run(work())


def test_who_goes_away_does_not_cost_others_their_turn() -> None:
    async def work() -> None:
        one = Line()
        tasks = [asyncio.create_task(one.turn()) for _ in range(5 * TOGETHER)]
        await asyncio.sleep(0)
        for task in tasks[TOGETHER::2]:
            task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)
        assert done.count(None) == len(tasks) - len(tasks[TOGETHER::2])

    run(work())
