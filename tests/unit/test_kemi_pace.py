"""How long a process of Kamailio sleeps between two looks for work."""

from __future__ import annotations

import importlib
import sys
import time
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from omapush import clock


@pytest.fixture
def pace_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "KSR", MagicMock(name="KSR"))
    for name in ("overload", "pace"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("pace")


class Hours:
    """A clock that only sleeping moves."""

    def __init__(self, pace_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.sheds = False
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(pace_module.overload, "is_shedding", lambda: self.sheds)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def hours(pace_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Hours:
    return Hours(pace_module, monkeypatch)


def test_looks_are_rarer_when_it_has_been_quiet_and_not_right_after_work(
    pace_module: ModuleType, hours: Hours
) -> None:
    pace = pace_module.Pace()
    pace.rest()
    hours.now += 2
    pace.rest()
    pace.worked()
    pace.rest()

    busy, quiet, busy_again = hours.slept
    assert busy == busy_again < quiet <= 0.010


def test_who_has_nothing_to_do_leaves_the_processor_to_others_under_overload(
    pace_module: ModuleType, hours: Hours
) -> None:
    pace = pace_module.Pace()
    hours.now += 2
    pace.rest()
    hours.sheds = True
    pace.rest()
    pace.worked()
    pace.rest()

    quiet, sparing, busy = hours.slept
    assert busy < quiet < sparing <= 0.050
