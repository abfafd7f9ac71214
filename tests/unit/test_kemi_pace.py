"""How long a process of Kamailio sleeps between two looks for work."""

from __future__ import annotations

import time

import pytest
from pace import Pace

from omapush import clock


class Hours:
    """A clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    return Hours(monkeypatch)


def test_looks_are_rarer_when_it_has_been_quiet_and_not_right_after_work(hours: Hours) -> None:
    pace = Pace()
    pace.rest()
    hours.now += 2
    pace.rest()
    pace.worked()
    pace.rest()

    busy, quiet, busy_again = hours.slept
    assert busy == busy_again < quiet <= 0.010
