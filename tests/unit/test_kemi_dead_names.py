"""Names that were not found: who tries them, who looks them up, and when they are tried again."""

import importlib
import sys
from collections import deque
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from omapush import clock

DEAD = "sip:scscf.dead.example:6060;lr"
NAME = "scscf.dead.example:6060"


class Kamailio:
    """Its table of names, its queue, and its resolver, which finds what is in `found`."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.queue: deque[str] = deque()
        self.found: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str]] = []
        self.body = ""

    def look_up(self, command: str) -> int:
        kind, name = command.partition('"params":["')[2].partition('"]')[0].split('","')
        self.asked.append((kind, name))
        self.body = '{"result":1}' if (kind, name) in self.found else '{"error":{"code":400}}'
        return 1

    def next_queued(self, _queue: str) -> tuple[str, str] | None:
        return (self.queue.popleft(), "") if self.queue else None


@pytest.fixture
def kamailio() -> Kamailio:
    return Kamailio()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, kamailio: Kamailio) -> ModuleType:
    ksr, reader = MagicMock(name="KSR"), MagicMock(name="ksr_reader")
    ksr.htable.sht_get.side_effect = lambda _table, name: kamailio.names.get(name)
    ksr.htable.sht_sets.side_effect = lambda _table, name, value: kamailio.names.update({name: value})
    ksr.htable.sht_rm.side_effect = lambda _table, name: kamailio.names.pop(name)
    ksr.mqueue.mq_add.side_effect = lambda _queue, name, _value: kamailio.queue.append(name)
    ksr.jsonrpcs.exec.side_effect = kamailio.look_up
    reader.next_queued.side_effect = kamailio.next_queued
    reader.text.side_effect = lambda _variable: kamailio.body
    monkeypatch.setitem(sys.modules, "KSR", ksr)
    monkeypatch.setitem(sys.modules, "ksr_reader", reader)
    monkeypatch.delitem(sys.modules, "dead_names", raising=False)
    module = importlib.import_module("dead_names")
    sys.modules.pop("dead_names")
    return module


def test_a_name_that_was_not_found_is_dead_for_all_until_it_is_found(
    names: ModuleType, kamailio: Kamailio, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    lookups = names.Lookups()
    assert not names.is_dead(DEAD)

    names.failed(DEAD)
    names.failed(DEAD)
    lookups.run_once()
    lookups.run_once()

    assert names.is_dead(DEAD)
    assert names.is_dead("sip:SCSCF.dead.example:6060")
    assert not names.is_dead("sip:scscf.dead.example:6061")
    assert kamailio.asked == [("A", "scscf.dead.example"), ("AAAA", "scscf.dead.example")]  # once a second

    kamailio.found.add(("AAAA", "scscf.dead.example"))
    now += 1.0
    lookups.run_once()
    assert not names.is_dead(DEAD)


def test_a_name_without_a_port_is_found_by_its_services_too(names: ModuleType, kamailio: Kamailio) -> None:
    names.failed("sip:core.example;lr")
    kamailio.found.add(("SRV", "_sip._tcp.core.example"))

    names.Lookups().run_once()

    assert not names.is_dead("sip:core.example;lr")
    assert ("A", "core.example") not in kamailio.asked


@pytest.mark.parametrize(
    "uri", ["sip:192.0.2.1:6060;lr", "sip:[2001:db8::1]:6060", "sip:192.0.2.1", 'sip:a"],"x":["b;lr', ""]
)
def test_what_is_no_name_is_never_dead(names: ModuleType, kamailio: Kamailio, uri: str) -> None:
    names.failed(uri)

    assert not names.is_dead(uri)
    assert (kamailio.names, list(kamailio.queue)) == ({}, [])


def test_one_name_is_looked_up_at_a_time_and_all_in_turn(names: ModuleType, kamailio: Kamailio) -> None:
    for number in range(3):
        names.failed(f"sip:s{number}.example:5060")
    lookups = names.Lookups()
    for _ in range(3):
        lookups.run_once()

    assert [name for kind, name in kamailio.asked if kind == "A"] == [
        "s0.example",
        "s1.example",
        "s2.example",
    ]


def test_what_was_forgotten_is_not_looked_up(names: ModuleType, kamailio: Kamailio) -> None:
    """The table forgets by itself: then a sender tries the name again."""
    names.failed(DEAD)
    kamailio.names.clear()

    names.Lookups().run_once()

    assert kamailio.asked == []
