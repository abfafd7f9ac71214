"""Under which name the requests to a next hop are counted, and when there is no room for more."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

HOP = "sip:192.0.2.1:6060;lr"


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, with a table of Kamailio's that is a dictionary."""
    table: dict[str, int] = {}
    ksr = MagicMock(name="KSR")
    ksr.htable.sht_get.side_effect = lambda _, name: table.get(name)
    ksr.htable.sht_seti.side_effect = lambda _, name, number: table.update({name: number})
    monkeypatch.setitem(sys.modules, "KSR", ksr)
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
    window: Any, other: str, is_same: bool
) -> None:
    assert (window.hop_of(other) == window.hop_of(HOP)) is is_same


def test_a_window_is_full_when_something_has_to_end_first(window: Any) -> None:
    of_sender = window.Window(9, size=3, hop_size=2, longest_s=10)
    assert not of_sender.is_full

    of_sender.sent("1")
    of_sender.sent("1")
    assert of_sender.is_full, "the one hop in use has no room"

    of_sender.sent("2")
    assert of_sender.is_full, "nor has the whole"

    window.add_ended_to(9, "2", 1)
    of_sender.free(0.0)
    assert of_sender.is_full, "what is idle is no hop in use"

    window.add_ended_to(9, "1", 1)
    of_sender.free(0.0)
    assert not of_sender.is_full
