"""A request is answered or relayed exactly once even when our own code stumbles over it."""

import importlib
import sys
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from omapush import log
from omapush.config import parse

KEMI = (
    "completer",
    "registering",
    "hosting",
    "ksr_reader",
    "ksr_writer",
    "metrics",
    "push_as",
    "route_set",
    "sender",
    "settings",
    "suspended",
    "window",
)
STUMBLES = [
    ("route_set", "leads_onward"),
    ("metrics", "count_received"),
    ("ksr_reader", "request"),
    ("ksr_reader", "text"),
    ("ksr_reader", "method"),
]


@pytest.fixture
def ksr(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Kamailio as it is with a relayed request of a trusted peer in hand."""
    fake = MagicMock(name="KSR")
    fake.sanity.sanity_check.return_value = 1
    fake.tm.t_check_trans.return_value = -1
    fake.rr.loose_route.return_value = 1
    fake.maxfwd.process_maxfwd.return_value = 1
    fake.tm.t_relay.return_value = 1
    fake.hdr.is_present.return_value = 1
    fake.is_myself.return_value = True
    fake.kx.get_srcip.return_value = "127.0.0.1"
    fake.kx.get_method.return_value = "MESSAGE"
    fake.pv.gete.return_value = "sip:127.0.0.1:5070;lr"
    fake.siputils.has_totag.return_value = -1
    monkeypatch.setitem(sys.modules, "KSR", fake)
    for name in KEMI:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return fake


@pytest.fixture
def push_as(ksr: MagicMock, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(log, "setup", lambda *_, **__: None)
    module = importlib.import_module("push_as")
    monkeypatch.setattr("omapush.config.load", lambda: parse({}, "test.toml"))
    return module


def sent(ksr: MagicMock) -> list[tuple[Any, ...]]:
    """What left: each relayed request as (), each answer as (status, reason)."""
    return [call.args for call in (*ksr.tm.t_relay.call_args_list, *ksr.sl.send_reply.call_args_list)]


def test_without_a_stumble_the_request_goes_on_once(ksr: MagicMock, push_as: ModuleType) -> None:
    assert push_as.mod_init().ksr_request_route(None) == 1
    assert sent(ksr) == [()]


@pytest.mark.parametrize(("module", "function"), STUMBLES[1:])
def test_a_relayed_request_goes_on_once_when_our_code_stumbles(
    ksr: MagicMock, push_as: ModuleType, monkeypatch: pytest.MonkeyPatch, module: str, function: str
) -> None:
    agent = push_as.mod_init()
    stumble_once_routed(ksr, monkeypatch, module, function)

    assert agent.ksr_request_route(None) == 1
    assert sent(ksr) == [()]


def stumble_once_routed(ksr: MagicMock, monkeypatch: pytest.MonkeyPatch, module: str, function: str) -> None:
    """Raise at the first call of `function` after the Route was read."""
    whole = getattr(sys.modules[module], function)
    raised: list[bool] = []

    def stumbling(*args: Any, **named: Any) -> Any:
        if ksr.rr.loose_route.called and not raised:
            raised.append(True)
            raise RuntimeError("a defect")
        return whole(*args, **named)

    monkeypatch.setattr(sys.modules[module], function, stumbling)


@pytest.mark.parametrize(("module", "function"), STUMBLES)
def test_a_request_that_ends_here_gets_one_500_when_our_code_stumbles(
    ksr: MagicMock, push_as: ModuleType, monkeypatch: pytest.MonkeyPatch, module: str, function: str
) -> None:
    agent = push_as.mod_init()
    ksr.rr.loose_route.return_value = -1
    monkeypatch.setattr(sys.modules[module], function, MagicMock(side_effect=RuntimeError("a defect")))

    assert agent.ksr_request_route(None) == 1
    assert sent(ksr) == [(500, "Server Internal Error")]


def test_a_strangers_request_is_not_relayed_when_our_code_stumbles(
    ksr: MagicMock, push_as: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = push_as.mod_init()
    ksr.kx.get_srcip.return_value = "198.51.100.1"
    monkeypatch.setattr(sys.modules["metrics"], "count_received", MagicMock(side_effect=RuntimeError))

    assert agent.ksr_request_route(None) == 1
    assert sent(ksr) == [(500, "Server Internal Error")]


def test_an_answer_that_cannot_be_written_becomes_one_500(
    ksr: MagicMock, push_as: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = push_as.mod_init()
    ksr.rr.loose_route.return_value = -1
    ksr.hdr.append_to_reply.side_effect = RuntimeError("no memory")

    assert agent.ksr_request_route(None) == 1
    assert sent(ksr) == [(500, "Server Internal Error")]


@pytest.mark.parametrize("function", ["all_values", "hosted_push"])
def test_a_push_for_a_hosted_application_goes_on_when_our_code_stumbles(
    ksr: MagicMock, push_as: ModuleType, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setattr("omapush.config.load", lambda: parse({"hosted": {"mms.ua": {}}}, "test.toml"))
    monkeypatch.setattr(sys.modules["ksr_reader"], "application_of", lambda *_: "mms.ua")
    agent = push_as.mod_init()
    stumble_once_routed(ksr, monkeypatch, "ksr_reader", function)

    assert agent.ksr_request_route(None) == 1
    assert sent(ksr) == [()]
