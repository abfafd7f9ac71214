"""However much there is to do, a process comes round: it shows that it lives, and sees what it was told."""

import importlib
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENDLESS: dict[tuple[str, str], dict[str, Any]] = {
    ("registering", "RegisterCompleter"): {"_fetch": [MagicMock()], "_store_batch": None},
    ("completer", "ResultCompleter"): {"_fetch": 1, "_store_batch": None},
    ("watcher", "WatchCompleter"): {"_take_notifies": 1, "_take_answers": 1},
    ("hosting", "HostedCompleter"): {"_fetch": [MagicMock()], "_place": None},
    ("subscription_completer", "SubscriptionCompleter"): {"_take_answers": 1, "_take_subscribes": 1},
    ("session_completer", "SessionCompleter"): {"_take_answers": 1, "_take_requests": 1, "_take_forks": 1},
    ("tracer", "Tracer"): {"_fetch": [MagicMock()], "_look": None},
}
"Who works until nothing is left -> what its methods say when there is always more."


class Clock:
    """A clock that goes on by a millisecond with each look."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        assert self.looks < 10_000, "it never comes round"
        return self.looks / 1_000

    def now_ms(self) -> int:
        return 0


@pytest.fixture
def kemi(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    names = [file.stem for file in (ROOT / "kemi").glob("*.py")]
    monkeypatch.setitem(sys.modules, "KSR", MagicMock(name="KSR"))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in names:
        sys.modules.pop(name, None)


def worker(module: ModuleType, name: str, says: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    kind = getattr(module, name)
    for method, answer in says.items():
        assert hasattr(kind, method)
        monkeypatch.setattr(kind, method, MagicMock(side_effect=repeat(answer, 10_000)))
    made = kind.__new__(kind)
    for attribute in (
        "_batch",
        "_counts",
        "_hep",
        "_hosted",
        "_referrals",
        "_config",
        "_store",
        "_waiting",
        "_settings",
    ):
        setattr(made, attribute, MagicMock())
    made._hops = MagicMock()
    made._batch.number = made._look_at = made._referrals.run_once.return_value = 0
    made._waiting = made._former = {}
    return made


@pytest.mark.parametrize(("module", "name"), ENDLESS)
def test_who_always_has_more_to_do_comes_round_within_a_fifth_of_a_second(
    kemi: None, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    loaded = importlib.import_module(module)
    clock = Clock()
    pace = importlib.import_module("pace")
    monkeypatch.setattr(pace, "clock", clock)
    monkeypatch.setattr(pace.time, "sleep", lambda _: None)
    if hasattr(loaded, "clock"):
        monkeypatch.setattr(loaded, "clock", clock)
    if module == "tracer":
        monkeypatch.setattr(loaded.traces, "keep", MagicMock())
    process = worker(loaded, name, ENDLESS[module, name], monkeypatch)
    process._pace = pace.Pace()

    for _ in range(3):
        before = clock.looks
        process.run_once()
        assert clock.looks - before <= 200
