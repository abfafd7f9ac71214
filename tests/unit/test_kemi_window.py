"""Under which name the requests to a next hop are counted."""

import importlib
import sys
from unittest.mock import MagicMock

import pytest

HOP = "sip:192.0.2.1:6060;lr"


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
    monkeypatch: pytest.MonkeyPatch, other: str, is_same: bool
) -> None:
    monkeypatch.setitem(sys.modules, "KSR", MagicMock(name="KSR"))
    monkeypatch.delitem(sys.modules, "window", raising=False)
    window = importlib.import_module("window")
    sys.modules.pop("window")

    assert (window.hop_of(other) == window.hop_of(HOP)) is is_same
