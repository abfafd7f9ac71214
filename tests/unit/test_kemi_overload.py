"""What is let in follows how long requests wait, in the sockets' buffers as well as in the queue."""

import importlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

TARGET_S = 0.25
MUCH = 2_304 * 2_000
"Bytes of datagrams that take a second."


Tables = dict[str, dict[str, Any]]


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Kamailio's shared tables."""
    known: Tables = defaultdict(dict)
    fake = MagicMock(name="KSR")
    fake.htable.sht_get.side_effect = lambda table, key: known[table].get(key)
    fake.htable.sht_sets.side_effect = lambda table, key, value: known[table].__setitem__(key, value)
    fake.htable.sht_seti.side_effect = lambda table, key, value: known[table].__setitem__(key, value)
    fake.htable.sht_rm.side_effect = lambda table, key: known[table].pop(key, None)
    monkeypatch.setitem(sys.modules, "KSR", fake)
    monkeypatch.delitem(sys.modules, "overload", raising=False)
    return known


@pytest.fixture
def table(tables: Tables) -> dict[str, Any]:
    """What Python is told of each queue."""
    return tables["overload"]


@pytest.fixture
def native(tables: Tables) -> dict[str, Any]:
    """What kamailio.cfg is told."""
    return tables["lets_in"]


@pytest.fixture
def overload(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    _ = tables
    made = importlib.import_module("overload")
    monkeypatch.setattr(made.log, "get", MagicMock())
    yield made
    sys.modules.pop("overload", None)


Carry = Callable[..., None]


def let_in(native: dict[str, Any], queue: str) -> int:
    """How many of 16,384 Kamailio lets in now."""
    return int(native[queue]) & 0xFFFF


def let_in_of_late(native: dict[str, Any], queue: str) -> int:
    """How many it let in at most in the last seconds."""
    return int(native[queue]) >> 16


@pytest.fixture
def carry_of(overload: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Carry]:
    """Of a queue: take requests from it for some seconds, a hundred of them in each, one after the other."""
    time = {"now": 1_000.0}
    monkeypatch.setattr(overload.clock, "monotonic", lambda: time["now"])

    def of(queue: str) -> Carry:
        steering = overload.Steering(queue, TARGET_S, frozenset({5070}))

        def run(seconds: int, *, backlog: int, left: int = 0, pause_s: float = 0, last: bool = False) -> None:
            monkeypatch.setattr(overload, "backlog_bytes", lambda _: backlog)
            time["now"] += pause_s
            if last:  # one request, with which an interval ends
                time["now"] += 0.2
                steering.took(1, left)
            for _ in range(seconds * 100):
                time["now"] += 0.01
                steering.took(1, left)

        return run

    return of


@pytest.fixture
def carry(carry_of: Callable[[str], Carry]) -> Carry:
    return carry_of("registers1")


def test_what_stands_in_the_sockets_is_overload_though_the_queue_behind_is_short(
    table: dict[str, Any], native: dict[str, Any], carry: Carry
) -> None:
    carry(5, backlog=MUCH)

    assert let_in(native, "registers1") < 800
    assert float(table["registers1"].split()[0]) < 0.05


def test_new_subscribes_are_shed_natively_too_and_registers_are_not_for_them(
    native: dict[str, Any], carry_of: Callable[[str], Carry]
) -> None:
    carry = carry_of("subscribes")
    carry(5, backlog=0, left=200)
    assert let_in(native, "subscribes") < 800
    assert set(native) == {"subscribes", "anything"}

    carry(10, backlog=0)
    assert "subscribes" not in native


@pytest.mark.parametrize("queue", ["watch_notifies", "hosted", "session_requests"])
def test_what_is_not_shed_natively_is_told_to_workers_alone(
    tables: Tables, carry_of: Callable[[str], Carry], queue: str
) -> None:
    carry_of(queue)(5, backlog=0, left=200)

    assert set(tables["overload"]) == {queue}
    assert set(tables["lets_in"]) == {"anything"}


def test_what_was_let_in_is_known_for_as_long_as_copies_of_it_may_come(
    native: dict[str, Any], carry: Carry
) -> None:
    carry(1, backlog=MUCH)
    assert let_in(native, "registers1") < let_in_of_late(native, "registers1") == 16_384

    carry(2, backlog=MUCH)
    assert let_in(native, "registers1") <= let_in_of_late(native, "registers1") < 8_000


def test_while_nobody_said_otherwise_everything_was_let_in(native: dict[str, Any], carry: Carry) -> None:
    carry(6, backlog=MUCH)
    assert let_in_of_late(native, "registers1") < 8_000

    carry(1, backlog=MUCH, pause_s=3.0)  # nothing was taken, as while Redis does not answer
    assert let_in(native, "registers1") < let_in_of_late(native, "registers1") == 16_384


def test_with_the_sockets_empty_all_is_let_in_again_within_ten_seconds(
    table: dict[str, Any], native: dict[str, Any], carry: Carry
) -> None:
    carry(5, backlog=MUCH)
    carry(10, backlog=0)

    assert table["registers1"].startswith("1.0000 ")
    assert "registers1" not in native


def test_that_anything_is_shed_is_known_to_all_processes(
    overload: ModuleType, native: dict[str, Any], carry_of: Callable[[str], Carry]
) -> None:
    assert not overload.is_shedding()
    carry_of("hosted")(5, backlog=0, left=200)
    assert overload.is_shedding()

    native.clear()  # Kamailio does that when two seconds have passed
    carry_of("hosted")(5, backlog=0)
    assert not overload.is_shedding()


def test_a_burst_after_a_pause_is_none_though_much_of_it_is_left_at_first(
    table: dict[str, Any], carry: Carry
) -> None:
    carry(1, backlog=0)
    carry(0, backlog=0, left=500, pause_s=60, last=True)
    carry(1, backlog=0)

    assert table == {}


def test_what_stands_in_a_queue_that_is_drained_quickly_waits_shortly(
    table: dict[str, Any], overload: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same number is too long a wait for a slow process, and none for a quick one."""
    now = 1_000.0
    monkeypatch.setattr(overload.clock, "monotonic", lambda: now)
    monkeypatch.setattr(overload, "backlog_bytes", lambda _: 0)
    quick = overload.Steering("subscribes", TARGET_S)
    for _ in range(200):
        now += 0.01
        quick.took(20, 400)

    assert table == {}


def test_what_kamailio_has_let_in_is_not_drawn_for_again(
    table: dict[str, Any], overload: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ksr: Any = overload.KSR
    ksr.pv.get.return_value = None
    monkeypatch.setattr(overload.random, "random", lambda: 0.9)
    table["subscribes"] = f"0.5000 {overload.clock.monotonic():.3f}"

    ksr.isflagset.return_value = True
    assert not overload.sheds("subscribes")
    ksr.isflagset.return_value = False
    assert overload.sheds("subscribes")


def test_what_stood_there_before_a_pause_is_forgotten(table: dict[str, Any], carry: Carry) -> None:
    carry(1, backlog=0)
    carry(0, backlog=MUCH, last=True)
    carry(1, backlog=0, pause_s=60)

    assert table == {}


def test_a_short_wait_in_both_is_none(table: dict[str, Any], carry: Carry) -> None:
    carry(5, backlog=MUCH // 10, left=10)

    assert table == {}


def test_a_peer_is_left_to_kamailio_from_its_second_register_on(overload: ModuleType, tables: Tables) -> None:
    asked = [overload.leave_to_kamailio("192.0.2.1", by_address=True) for _ in range(2)]

    assert asked == [False, True]
    assert tables["peers"] == {"192.0.2.1": 1}


def test_a_peer_that_a_certificate_makes_trusted_is_not(overload: ModuleType, tables: Tables) -> None:
    assert not overload.leave_to_kamailio("192.0.2.1", by_address=False)
    assert not overload.leave_to_kamailio("192.0.2.1", by_address=False)
    assert not tables["peers"]
