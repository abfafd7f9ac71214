"""Under which name the requests to a next hop are counted, and how the room of a window is shared out."""

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
    monkeypatch.setitem(sys.modules, "KSR", fake)
    monkeypatch.delitem(sys.modules, "window", raising=False)
    yield importlib.import_module("window")
    sys.modules.pop("window")


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


def test_shards_share_the_room_and_what_has_ended_makes_more_of_it(
    window: ModuleType, ended: dict[str, int]
) -> None:
    count = window.Count("0.notify", 100, 60.0)
    assert [count.share(shards, 64) for shards in (0, 1, 2, 8)] == [0, 64, 50, 12]

    count.sent(96)
    assert [count.share(shards, 64) for shards in (1, 4, 5)] == [4, 1, 0]
    count.sent(10)
    assert count.share(1, 64) == 0
    ended["0.notify"] = 76
    assert count.share(1, 64) == 64
