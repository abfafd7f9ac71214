"""What came of notifications is noted together, and told to each who waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from omapush import config
from omapush.errors import StoreUnavailable
from omapush.notifier.settling import Settling
from omapush.push.values import Event
from omapush.store import client, owed
from omapush.store.client import Store
from omapush.store.owed import Settlement


class Trips:
    """What goes to Redis, trip by trip; the first does not come back before `go` is set."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, failing: int = -1, by: Exception | None = None
    ) -> None:
        self.done: list[list[str]] = []
        self.go = threading.Event()
        self._failing, self._by = failing, by or StoreUnavailable("away")
        monkeypatch.setattr(owed, "settle_all", self._settle_all)

    def _settle_all(self, _store: Store, settlements: Sequence[Settlement]) -> None:
        self.go.wait(10)
        self.done.append([one.member for one in settlements])
        if len(self.done) - 1 == self._failing:
            raise self._by


def settled(trips: Trips, number: int) -> list[BaseException | None]:
    """Settle one, and when it is under way the others; return what each was told."""
    settling = Settling(client.connect(config.parse({}, "omapush.toml").redis))

    async def one(member: str) -> None:
        await settling.settle(Settlement(member, 0, Event(1, 0, "notified", "")))

    async def run() -> list[BaseException | None]:
        tasks = [asyncio.create_task(one("r.0"))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(one(f"r.{index}")) for index in range(1, number)]
        await asyncio.sleep(0)
        trips.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_what_ends_while_one_trip_is_under_way_shares_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch)

    assert settled(trips, 4) == [None] * 4
    assert trips.done == [["r.0"], ["r.1", "r.2", "r.3"]]


def test_a_trip_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch)

    settled(trips, 600)
    assert max(map(len, trips.done)) == 256
    assert sum(map(len, trips.done)) == 600


def test_only_those_of_a_trip_that_failed_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch, failing=0)

    first, *others = settled(trips, 3)
    assert isinstance(first, StoreUnavailable)
    assert others == [None, None]


def test_a_defect_is_told_to_who_waits_too_and_the_next_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch, failing=0, by=TypeError("a defect"))

    first, *others = settled(trips, 3)

    assert isinstance(first, TypeError)
    assert others == [None, None]
