"""Under which name the requests to a next hop are counted, and that its window is its own."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

HOP = "sip:192.0.2.1:6060;lr"


@pytest.fixture
def ended() -> dict[str, int]:
    """What Kamailio's shared table says has ended, by name."""
    return {}


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch, ended: dict[str, int]) -> Iterator[ModuleType]:
    fake: Any = MagicMock(name="KSR")
    fake.htable.sht_get.side_effect = lambda _, name: ended.get(name)
    fake.htable.sht_seti.side_effect = lambda _, name, number: ended.update({name: number})
    monkeypatch.setitem(sys.modules, "KSR", fake)
    for name in ("window", "in_flight", "coming_back"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("window")
    for name in ("window", "in_flight", "coming_back"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("sip:orig@192.0.2.1:6060;lr", True),
        ("sip:ue7@192.0.2.1:6060", True),
        ("sip:192.0.2.1:6061;lr", False),
        ("sip:192.0.2.2:6060;lr", False),
        ("sip:[2001:db8::1]:6060;lr", False),
    ],
)
def test_a_hop_is_its_address_whatever_user_and_parameters_it_has(
    window: ModuleType, other: str, is_same: bool
) -> None:
    assert (window.hop_of(other) == window.hop_of(HOP)) is is_same


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be moved by the test."""
    seconds = [1_000.0]
    monkeypatch.setattr("omapush.clock.monotonic", lambda: seconds[0])
    monkeypatch.setattr("omapush.clock.now_ms", lambda: int(seconds[0] * 1000))
    return seconds


def test_what_has_ended_is_told_in_all_and_for_its_hop(window: ModuleType, ended: dict[str, int]) -> None:
    lost = window.in_flight.end_of(0, 32_000, is_answered=False)
    window.add_ended({(0, "cafe", 7): 3, (0, "cafe", lost): 2, (0, "beef", 7): 1, (1, "cafe", 6): 4})

    assert ended == {
        "0": 6,
        "0/3": 4,
        "0/lost": 2,
        "0:cafe": 5,
        "0:cafe/3": 3,
        "0:cafe/lost": 2,
        "0:beef": 1,
        "0:beef/3": 1,
        "1": 4,
        "1/2": 4,
        "1:cafe": 4,
        "1:cafe/2": 4,
    }


def test_a_silent_hop_keeps_to_its_window_while_another_has_room_for_its_silent_devices(
    window: ModuleType, ended: dict[str, int], at: list[float]
) -> None:
    both = window.Window(0, 20, 10, 40.0, 30)
    both.sent("dead", 10)
    for _ in range(5):  # each second ten to the other, of which half are answered
        assert both.has_room("live")
        both.sent("live", 10)
        end = window.in_flight.end_of(int(at[0] * 1000), int(at[0] * 1000), is_answered=True)
        window.add_ended({(0, "live", end): 5})
        at[0] += 1.1
        both.free(at[0])

    assert not both.has_room("dead")
    assert both.has_room("live")
    assert both.in_flight == 35


def test_one_hop_gets_a_part_of_a_window_and_one_place_at_least(window: ModuleType) -> None:
    assert [window.part_of_one(size) for size in (1, 2, 10, 200)] == [1, 1, 7, 150]


def test_shards_share_the_room(window: ModuleType) -> None:
    shards = list(range(8))
    shared = [window.share_out(100, shards[:number], 64)[1] for number in (0, 1, 2, 8)]
    assert shared == [0, 64, 50, 12]
    assert window.share_out(100, shards[:1], 64) == (shards[:1], 64)
    assert window.share_out(0, shards, 64) == ((), 0)
    assert window.share_out(-2, shards, 64) == ((), 0)


def test_fewer_places_than_shards_are_one_each_of_some_and_in_time_of_all(window: ModuleType) -> None:
    """With 16 places and 17 shards in which something was due nothing at all was sent."""
    chosen: set[int] = set()
    for _ in range(200):
        some, most = window.share_out(16, list(range(17)), 64)
        assert (len(set(some)), most) == (16, 1)
        chosen.update(some)
    assert chosen == set(range(17))


def test_of_several_silent_hops_each_leaves_half_of_the_rest_and_who_answers_takes_it(
    window: ModuleType, at: list[float]
) -> None:
    several = window.Window(0, 200, 150, 40.0, 0)

    def filled(hop: str) -> int:
        for taken in range(1_000):
            has_room = several.room > 0 and several.has_room(hop)
            assert has_room is (several.room > 0 and not several.wait_ms(hop, at[0], 150))
            if not has_room:
                return taken
            several.sent(hop)
        raise AssertionError("no end")

    assert [filled(hop) for hop in ("dead", "dead too", "dead as well")] == [150, 25, 13]
    assert filled("live") == 6
    at[0] += 0.1
    window.add_ended({(0, "live", window.in_flight.LATE): 5})
    several.free(at[0])
    assert filled("live") == 11
    assert several.room == 0


@pytest.mark.parametrize(("taken", "is_enough"), [(0, False), (20, False), (2_000, True)])
def test_behind_a_full_hop_that_takes_little_all_is_tried_for_it_may_be_for_another(
    window: ModuleType, at: list[float], taken: int, is_enough: bool
) -> None:
    alone = window.Window(0, 100, 50, 40.0, 0)
    alone.sent("full", 50)
    assert alone.free(at[0]) == 16, "nothing is known about the hop, so a few are tried"
    assert alone.free(at[0]) == 0

    window.add_ended({(0, "full", window.in_flight.LATE): taken})
    alone.sent("full", taken)
    at[0] += 1.0
    assert alone.free(at[0]) == (16 if is_enough else 50)
    assert alone.free(at[0]) == (0 if is_enough else 50)
