"""Parts of the notifier outlive defects in each other and in themselves."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from omapush.notifier.lasting import lasting


def test_a_part_that_crashes_is_begun_again_until_it_ends_and_others_go_on() -> None:
    begun: list[str] = []

    async def breaks_twice() -> None:
        begun.append("breaks")
        if begun.count("breaks") < 3:
            raise KeyError("a record")

    async def works() -> None:
        begun.append("works")

    async def run() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(lasting("one", breaks_twice, rest_s=0))
            tasks.create_task(lasting("two", works, rest_s=0))

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())

    assert sorted(begun) == ["breaks", "breaks", "breaks", "works"]
    assert [(line["event"], line["part"]) for line in lines] == [("part_crashed", "one")] * 2


def test_a_part_that_is_cancelled_is_not_begun_again() -> None:
    begun: list[None] = []

    async def waits() -> None:
        begun.append(None)
        await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(lasting("one", waits, rest_s=0))
        while not begun:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert len(begun) == 1
