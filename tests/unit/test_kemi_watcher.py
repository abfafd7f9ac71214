"""What answers to our SUBSCRIBEs say about the next hop that they were sent to."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from omapush.push.watch_rules import FinalAnswer

OURS = (
    "watcher", "window", "in_flight", "coming_back", "ksr_reader", "hosting", "metrics", "suspended",
    "hosted_content", "package", "presence", "reg_event",
)  # fmt: skip
SENDER, HOP = 0, "aaaa"


@pytest.fixture
def table() -> dict[str, int]:
    """What Kamailio's shared table says has ended, by name."""
    return {}


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch, table: dict[str, int]) -> Iterator[ModuleType]:
    fake: Any = MagicMock(name="KSR")
    fake.htable.sht_get.side_effect = lambda _, name: table.get(name)
    fake.htable.sht_seti.side_effect = lambda _, name, number: table.update({name: number})
    monkeypatch.setitem(sys.modules, "KSR", fake)
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("watcher")
    for name in OURS:
        sys.modules.pop(name, None)


def answered(watcher: ModuleType, monkeypatch: pytest.MonkeyPatch, *, local: bool) -> None:
    """Have the completer take the final answer to a SUBSCRIBE; `local`: the one of our own timer."""
    answer = FinalAnswer(408 if local else 200, local, "call", 1, "", "", "", "", "", 0)
    reference = watcher.Reference(SENDER, HOP, 1, "call").pack()
    queue = [(reference, watcher.pack_answer(answer))]
    monkeypatch.setattr(watcher.ksr_reader, "next_queued", lambda _: queue.pop() if queue else None)
    monkeypatch.setattr(watcher.WatchCompleter, "_store_answers", lambda *_: [])
    monkeypatch.setattr(watcher.client, "connect", MagicMock())
    monkeypatch.setattr(watcher.suspended, "next_waiting", lambda _: None)
    watcher.WatchCompleter(MagicMock()).run_once()


@pytest.mark.parametrize("local", [True, False])
def test_only_what_the_other_end_says_makes_its_hop_count_as_answering(
    watcher: ModuleType, monkeypatch: pytest.MonkeyPatch, *, local: bool
) -> None:
    at_s = [1_000.0]
    monkeypatch.setattr("omapush.clock.monotonic", lambda: at_s[0])
    monkeypatch.setattr("omapush.clock.now_ms", lambda: int(at_s[0] * 1000))
    count = sys.modules["in_flight"].Count(f"{watcher.window_name(SENDER)}:{HOP}", 10, 40.0)
    count.sent(2)
    at_s[0] += 32
    answered(watcher, monkeypatch, local=local)
    count.look(at_s[0])

    assert count.in_flight == 1
    assert count.is_answering is not local
