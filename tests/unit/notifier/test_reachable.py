"""Addresses that were judged a moment ago."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from omapush import clock
from omapush.notifier import reachable
from omapush.notifier.reachable import Judged, NotReachable


class Names:
    """A DNS that gives each look-up the next of its answers, and a clock that stands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self._answers = list(answers)
        self._monkeypatch = monkeypatch
        self.now = 50.0
        self.asked: list[tuple[str, int]] = []
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)

    def run(self, steps: Callable[[], Any]) -> Any:
        async def with_names() -> Any:
            self._monkeypatch.setattr(reachable, "look_up", self._look_up)
            return await steps()

        return asyncio.run(with_names())

    async def _look_up(self, host: str, port: int) -> list[Any]:
        self.asked.append((host, port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in self._answers.pop(0)]


def test_what_was_judged_is_used_for_a_second_and_then_looked_up_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = Names(monkeypatch, ["192.0.2.1"], ["192.0.2.2"], ["192.0.2.3"])
    judged = Judged(lambda _: True)

    async def steps() -> list[str]:
        found = [await judged.address_of("a.example", 80), await judged.address_of("a.example", 80)]
        found.append(await judged.address_of("b.example", 80))
        names.now += 1.01
        return [*found, await judged.address_of("a.example", 80)]

    assert names.run(steps) == ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert names.asked == [("a.example", 80), ("b.example", 80), ("a.example", 80)]


def test_what_was_refused_is_judged_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, ["192.0.2.1", "10.0.0.1"], [], ["192.0.2.1"])
    judged = Judged(lambda address: address != "10.0.0.1")

    async def steps() -> str:
        for _ in range(2):
            with pytest.raises(NotReachable):
                await judged.address_of("a.example", 80)
        return await judged.address_of("a.example", 80)

    assert names.run(steps) == "192.0.2.1"
    assert len(names.asked) == 3


def test_made_up_names_without_end_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, *([["192.0.2.1"]] * 3_000))
    judged = Judged(lambda _: True)

    async def steps() -> None:
        for number in range(3_000):
            await judged.address_of(f"{number}.example", 80)

    names.run(steps)
    assert len(judged._known) <= 1_024


def test_a_name_server_that_does_not_answer_keeps_nobody_else_from_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many results wait for a name that hangs, and however many such names there are."""
    may_end = threading.Event()
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        if host.startswith("hangs"):
            may_end.wait(20)
            raise socket.gaierror("no name server answers")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    async def steps() -> list[BaseException | str]:
        judged = Judged(lambda _: True)
        hanging = [
            asyncio.create_task(judged.address_of(f"hangs{number % 8}.example", 80)) for number in range(400)
        ]
        while len(asked) < 8:
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            found = await judged.address_of("well.example", 80)
        hanging.pop().cancel()
        may_end.set()
        return [found, *await asyncio.gather(*hanging, return_exceptions=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    first, *rest = asyncio.run(steps())

    assert first == "192.0.2.1"
    assert all(isinstance(one, socket.gaierror) for one in rest)
    assert sorted(asked) == [*(f"hangs{number}.example" for number in range(8)), "well.example"]
