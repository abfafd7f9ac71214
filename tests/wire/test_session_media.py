"""Large pushes from the outbox to the last octet: real Kamailio, real media worker, peers of other making."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from omapush import clock
from omapush.store import cancelling
from tests.fakes.msrp_peer import Manners, MsrpPeer, Session
from tests.harness.session_device import SESSIONS, Device
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

APP = "large.ua"
ONCE = "large-once.ua"
TWICE = "large-twice.ua"
LARGE = os.urandom(700_000)
PARTS = ("redis", "sip", "notifier", "msrp")
SETTINGS: Settings = {**SESSIONS, "msrp": {"connect_s": 1.0, "report_s": 1.0, "lease_ms": 1_000}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("media"), SETTINGS, PARTS) as running:
        yield running


@pytest.fixture
def device(stack: Stack) -> Iterator[Device]:
    with SipPeer(stack.core_port) as core, MsrpPeer() as media:
        yield Device(stack, core, media=media)
        assert media.violations == []


def push(device: Device, content: bytes = LARGE, app: str = APP) -> str:
    return device.stack.submit(device.aor, content, app=app, content_type="image/png")


def received(device: Device) -> list[bytes]:
    """Contents that came, in order of the m-lines of all sessions."""
    return [bytes(message.content) for end in device.ends.values() for message in end.messages.values()]


@pytest.mark.req("PSA-MSRP-1", "PSA-MSRP-2", "PSA-MSRP-15", "PSA-MSRP-16")
@pytest.mark.parametrize("setup", ["passive", "active"])
def test_a_large_push_reaches_the_device_whoever_connects(device: Device, setup: str) -> None:
    device.setup = setup
    ref = push(device)
    if setup == "active":
        device.wait("ACK")
        next(iter(device.ends.values())).connect()

    result = device.stack.result(ref, 30)

    assert (result.state, result.code, result.method) == ("delivered", "1000", "INVITE")
    assert received(device) == [LARGE]
    device.wait("BYE")
    device.until("ended")


@pytest.mark.req("PSA-MSRP-10")
def test_the_connection_is_closed_after_the_200_to_the_bye_and_not_before(device: Device) -> None:
    device.core.policy = lambda one: None if one.method == "BYE" else device.policy(one)
    ref = push(device)
    assert device.stack.result(ref, 30).state == "delivered"
    device.wait("BYE")
    assert device.media is not None
    [connection] = device.media.connections
    assert connection.is_open

    device.core.policy = device.policy

    wait_until(lambda: not connection.is_open, 10, "the end of the connection")
    assert connection.ended_between_frames
    assert device.until("ended")


def test_several_pushes_share_one_session_and_one_connection(device: Device) -> None:
    contents = [LARGE[number:] for number in range(3)]
    refs = [push(device, content) for content in contents]

    assert [device.stack.result(ref, 30).state for ref in refs] == ["delivered"] * 3
    assert sorted(received(device), key=len, reverse=True) == contents
    assert len({one.header("Call-ID") for one in device.all("INVITE")}) == 1
    assert device.media is not None
    assert len(device.media.connections) == 1


@pytest.mark.req("PSA-MSRP-17")
def test_a_file_that_the_device_stops_is_told_to_the_initiator_and_not_to_the_device(device: Device) -> None:
    device.manners = Manners(answer_at=(100_000, 413))
    ref = push(device, app=ONCE)

    result = device.stack.result(ref, 30)

    assert (result.state, result.code) == ("aborted", "5029")
    [end] = device.ends.values()
    assert end.reports == []
    assert len(device.wait("BYE")) == 1


@pytest.mark.req("PSA-MSRP-2")
def test_a_connection_that_breaks_is_followed_by_bye_and_another_session(device: Device) -> None:
    device.manners = Manners(close_at=300_000)
    ref = push(device, app=TWICE)
    device.wait("BYE")
    device.manners = Manners()

    assert device.stack.result(ref, 30).state == "delivered"
    first, second = device.ends.values()
    assert bytes(next(iter(second.messages.values())).content) == LARGE
    assert set(first.messages) == set(second.messages)  # the same Message-ID in both


def test_a_push_that_is_withdrawn_in_mid_transfer_is_aborted(device: Device) -> None:
    device.manners = Manners(stop_at=300_000)
    ref = push(device, LARGE * 20)
    end = wait_for_end(device)
    wait_until(lambda: bool(end.acted), 10, "a part of the content")
    device.manners = Manners()
    known = device.stack.known(ref)
    cancelled = cancelling.cancel(device.stack.store, known, [0], now_ms=clock.now_ms(), retention_s=60)
    assert cancelled == {0: True}
    device.wait("BYE")
    assert end.connection is not None
    end.connection.go_on_reading()

    wait_until(lambda: any(one.aborted for one in end.messages.values()), 10, "the end of the message")


def wait_for_end(device: Device) -> Session:
    wait_until(lambda: bool(device.ends), 10, "an MSRP session")
    return next(iter(device.ends.values()))


def test_kill_9_of_the_media_worker_costs_a_repeat_and_no_push(device: Device) -> None:
    ref = push(device, LARGE * 20, app=TWICE)
    end = wait_for_end(device)
    end.wait_for_connection().stop_reading()
    device.stack.kill("msrp")
    assert end.connection is not None
    end.connection.go_on_reading()
    device.stack.start("msrp")

    assert len(device.wait("BYE")) == 1
    device.wait("INVITE", 2)
    assert device.stack.result(ref, 60).state == "delivered"
    assert LARGE * 20 in received(device)


def test_kill_9_of_kamailio_in_mid_transfer_costs_nothing(device: Device) -> None:
    ref = push(device, LARGE * 20, app=TWICE)
    end = wait_for_end(device)
    end.wait_for_connection().stop_reading()
    device.stack.kill("sip")
    assert end.connection is not None
    end.connection.go_on_reading()
    device.stack.start("sip")

    assert device.stack.result(ref, 60).state == "delivered"
    assert len(device.all("INVITE")) == 1
    assert len(device.wait("BYE")) == 1
