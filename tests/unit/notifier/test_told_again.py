"""What is told again, when, and what is said of it meanwhile."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from omapush import config
from omapush.notifier import results
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.results import Notifications
from omapush.push.alarm_rules import Failing
from omapush.store import client
from omapush.store import owed as owed_results
from omapush.store.codec import BrokenRecord
from tests.unit.notifier.test_results import OK, Fake, FakeRedis, due, fake, poster_of, served, told, until

__all__ = ["fake"]


async def takes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An initiator that takes everything."""
    writer.write(OK)
    await writer.drain()


def test_a_result_that_cannot_be_read_is_named_and_those_borrowed_with_it_are_told(fake: Fake) -> None:
    async def run() -> None:
        server, url = await served(takes)
        async with server:
            redis.owed += [("r.0", BrokenRecord("no record")), ("r.1", due(url))]
            await told(redis, lambda: bool(redis.settled))

    redis = fake([])
    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())

    assert redis.named("notified") == ["r.1"]
    assert [(line["event"], line["member"]) for line in lines] == [("result_records_broken", "r.0")]


@pytest.mark.parametrize(
    ("said", "at_least_s", "at_most_s"),
    [
        ("7", 7, 8),
        ("999999999", 20, 21),
        ("-1", 0, 2),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 20, 21),
        ("soon", 0, 2),
    ],
)
def test_an_initiator_that_asks_to_be_left_alone_is(
    fake: Fake, said: str, at_least_s: int, at_most_s: int
) -> None:
    async def busy(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {said}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()

    async def run() -> None:
        server, url = await served(busy)
        async with server:
            redis.owed.append(("r.0", due(url)))
            await told(redis, lambda: bool(redis.settled), first_retry_s=1, longest_retry_s=20)

    redis = fake([])
    asyncio.run(run())

    [settled] = redis.settled
    assert at_least_s * 1000 <= settled.again_ms - settled.event.at_ms <= at_most_s * 1000


def failing_after(retry_s: float, refused: int) -> list[Failing]:
    """What is failing of one initiator once so many of its notifications were refused."""
    settings = config.parse(
        {
            "notify": {"first_retry_s": 0.01, "longest_retry_s": retry_s, "timeout_s": 0.2},
            "initiator": {"pi": {"password": "secret"}},
        },
        "omapush.toml",
    )

    async def run() -> list[Failing]:
        async with poster_of(settings) as poster:
            one = Notifications(settings, client.connect(settings.redis), poster, NotifierMetrics())
            redis.owed += [(f"r.{number}", due("http://127.0.0.1:1/")) for number in range(refused)]
            stop = asyncio.Event()
            work = asyncio.create_task(one.run(stop))
            await until(lambda: len(redis.settled) == refused or work.done())
            if retry_s < 1:
                await until(lambda: one.failing() == [])
            stop.set()
            await work
            return list(one.failing())

    redis = FakeRedis([])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("borrow_due", "borrow_again", "borrow_on", "settle_all"):
            patch.setattr(owed_results, name, getattr(redis, name))
        return asyncio.run(run())


def test_an_initiator_fails_as_long_as_something_is_tried() -> None:
    """Once everything was given up there is nothing to fail at, and nothing would clear the alarm."""
    assert [(one.initiator, one.failures) for one in failing_after(60, 3)] == [("pi", 3)]
    assert failing_after(0.01, 3) == []


def test_tries_are_noted_ever_more_rarely_and_the_wait_grows_with_what_is_owed(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away for a day, an initiator is tried 300 times for each result: as many lines would fill Redis."""
    settings = config.parse({}, "omapush.toml")
    one = Notifications(settings, client.connect(settings.redis), poster_of(settings), NotifierMetrics())

    def noted_of_a_day(member: str) -> tuple[int, list[int]]:
        owed_ms, noted, waits = 50, 0, []
        while owed_ms < 86_400_000:
            waits.append(one._wait_ms(owed_ms))
            noted += one._is_noted(member, owed_ms, waits[-1])
            owed_ms += waits[-1]
        return noted, waits

    noted, waits = noted_of_a_day("r.0")
    assert 8 <= noted <= 10 < 200 < len(waits)
    assert 500 <= waits[0] <= 1_000 < 150_000 <= waits[-1] <= 300_000

    monkeypatch.setattr(results, "_MOST_TRIES", 1)
    assert noted_of_a_day("r.1")[0] <= 25
    assert list(one._tries) == ["r.0"]
