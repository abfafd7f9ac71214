"""A device that watches its own registration: what the network ends is noticed and made again (PRA-REG-8)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from omapush.receiver.receiver import Receiver
from tests.fakes.sip_text import SipText, write
from tests.harness.receiver_thread import ReceiverThread, receiver_in_thread
from tests.harness.reg_event import contact, reginfo, registration
from tests.harness.scscf import Scscf
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, FAST, grant, notify, registered, requests, wait_for

pytestmark = pytest.mark.req("PRA-REG-8")

REGINFO = {"Content-Type": "application/reginfo+xml"}
ENDED = "terminated;reason=noresource"


def document(
    device: ReceiverThread, version: int, *, state: str = "active", event: str = "registered", **words: str
) -> bytes:
    uri = device.do(lambda: device.receiver.agent.contact_uri)
    whole = "active" if state == "active" else "terminated"
    return reginfo(version, registration(ALICE, contact(uri, state=state, event=event, **words), state=whole))


def tell(
    peer: SipPeer,
    device: ReceiverThread,
    subscribe: SipText,
    body: bytes,
    state: str = "active;expires=600",
    cseq: int = 1,
) -> SipText:
    return peer.ask(notify(peer, subscribe, state, body, REGINFO, cseq=cseq), device.receiver.address)


def reg_events(peer: SipPeer) -> list[SipText]:
    return [one for one in requests(peer, "SUBSCRIBE") if one.header("Event") == "reg"]


def reg_event(peer: SipPeer, number: int = 1) -> SipText:
    wait_until(
        lambda: len(reg_events(peer)) >= number, 10, lambda: f"{number}. SUBSCRIBE: {reg_events(peer)}"
    )
    return reg_events(peer)[number - 1]


def test_after_it_registered_the_device_subscribes_to_its_own_reg_event() -> None:
    """TS 24.229 5.1.1.3: its public identity, 600000 s."""
    with registered(watch_registration=True) as (peer, device):
        sent = reg_event(peer)
        assert sent.start_line == f"SUBSCRIBE {ALICE} SIP/2.0"
        assert sent.header("From").startswith(f"<{ALICE}>;tag=")
        assert sent.header("To") == f"<{ALICE}>"
        assert sent.header("Accept") == "application/reginfo+xml"
        assert sent.header("Expires") == "600000"
        assert tell(peer, device, sent, document(device, 0)).status == 200
        assert device.receiver.is_registered
        device.call(device.receiver.refresh())
        assert len(reg_events(peer)) == 1
    last = requests(peer, "SUBSCRIBE")[-1]
    assert (last.header("Event"), last.header("Expires")) == ("reg", "0")


def test_without_the_setting_nothing_is_subscribed_to() -> None:
    with registered() as (peer, _):
        assert len(requests(peer, "REGISTER")) == 1
    assert requests(peer, "SUBSCRIBE") == []


def test_a_registration_that_the_network_deactivates_is_made_again_at_once() -> None:
    with registered(watch_registration=True, subscribe_to=(("mms.ua", "sip:psa@home1.example"),)) as (
        peer,
        device,
    ):
        sent = reg_event(peer)
        assert tell(peer, device, sent, document(device, 0)).status == 200
        over = document(device, 1, state="terminated", event="deactivated")
        assert tell(peer, device, sent, over, ENDED, 2).status == 200

        again = wait_for(peer, "REGISTER", 2)
        assert again.header("Expires") == "600"
        assert '+g.oma.pusheventapp="mms.ua"' in again.header("Contact")
        assert device.wait_for("registration_lost")["reason"] == "ended by the network: deactivated"
        anew = reg_event(peer, 2)
        assert anew.header("Call-ID") != sent.header("Call-ID")
        assert tell(peer, device, anew, document(device, 0)).status == 200
        assert tell(peer, device, sent, over, ENDED, 3).status == 481
        device.wait_for("registered", 2)
        assert len([one for one in requests(peer, "SUBSCRIBE") if "oma-app" in one.header("Event")]) == 1


def test_on_probation_it_waits_for_retry_after() -> None:
    with registered(watch_registration=True) as (peer, device):
        sent = reg_event(peer)
        over = document(device, 0, state="terminated", event="probation", retry_after="600")
        assert tell(peer, device, sent, over, ENDED).status == 200
        device.wait_for("registration_lost")
        assert not device.receiver.is_registered
        assert len(requests(peer, "REGISTER")) == 1
    assert len(requests(peer, "REGISTER")) == 1


def test_a_network_that_rejects_the_device_is_left_alone() -> None:
    """No REGISTER, and no word in dialogs that are over: not even when the device stops."""
    with registered(watch_registration=True, subscribe_to=(("mms.ua", "sip:psa@home1.example"),)) as (
        peer,
        device,
    ):
        sent = reg_event(peer)
        wait_for(peer, "SUBSCRIBE", 2)
        over = document(device, 0, state="terminated", event="rejected")
        assert tell(peer, device, sent, over, ENDED).status == 200
        device.wait_for("registration_lost")
        wait_until(lambda: device.do(lambda: device.receiver.subscriptions) == (), 5, "no subscription left")
    assert len(requests(peer, "REGISTER")) == 1
    assert len(requests(peer, "SUBSCRIBE")) == 2


def test_a_network_that_takes_each_registration_back_is_not_asked_in_a_circle() -> None:
    with registered(watch_registration=True) as (peer, device):
        for number in (1, 2):
            over = document(device, 0, state="terminated", event="deactivated")
            assert tell(peer, device, reg_event(peer, number), over, ENDED).status == 200
            device.wait_for("registration_lost", number)
        assert not device.receiver.is_registered
        assert len(requests(peer, "REGISTER")) == 2
    assert len(requests(peer, "REGISTER")) == 2


@pytest.mark.parametrize("body", [b"<reginfo", b"\xff\0", b'<?xml version="1.0"?><!DOCTYPE x><reginfo/>'])
def test_a_document_that_cannot_be_read_changes_nothing(body: bytes) -> None:
    with registered(watch_registration=True) as (peer, device):
        sent = reg_event(peer)
        assert tell(peer, device, sent, body).status == 200
        assert tell(peer, device, sent, document(device, 1), cseq=2).status == 200
        assert device.receiver.is_registered


def test_a_core_without_reg_event_costs_one_subscribe() -> None:
    def policy(request: SipText) -> Says | None:
        return Says(489, "Bad Event") if request.method == "SUBSCRIBE" else grant(request)

    with registered(policy, watch_registration=True) as (peer, device):
        assert "489" in str(device.wait_for("subscription_ended")["ending"])
        assert device.receiver.is_registered
    assert len(requests(peer, "SUBSCRIBE")) == 1


def test_a_device_that_leaves_push_goes_on_watching_its_registration() -> None:
    with registered(watch_registration=True) as (peer, device):
        assert tell(peer, device, reg_event(peer), document(device, 0)).status == 200
        device.call(device.receiver.leave_push())
        assert len(reg_events(peer)) == 1
        over = document(device, 1, state="terminated", event="deactivated")
        assert tell(peer, device, reg_event(peer), over, ENDED, 2).status == 200
        assert "pusheventapp" not in wait_for(peer, "REGISTER", 3).header("Contact")


@contextmanager
def at_scscf(tmp_path: Path, **settings: Any) -> Iterator[tuple[Scscf, ReceiverThread]]:
    with Scscf(tmp_path) as core, receiver_in_thread(ALICE, core.uri, timers=FAST, **settings) as device:
        yield core, device


@pytest.mark.timeout(60)
def test_an_s_cscf_tells_a_device_that_its_binding_was_taken(tmp_path: Path) -> None:
    """A Kamailio S-CSCF: another device of the user signs this one off."""
    with at_scscf(tmp_path, watch_registration=True) as (core, device), SipPeer() as other:

        def active() -> bool:
            return device.do(lambda: [one.state for one in device.receiver.subscriptions]) == ["active"]

        wait_until(active, 10, lambda: f"the reg event: {device.events}")
        receiver: Receiver = device.receiver
        lines = [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:{other.port};branch=z9hG4bKoff"),
            ("Max-Forwards", "70"),
            ("From", f"<{ALICE}>;tag=o"),
            ("To", f"<{ALICE}>"),
            ("Call-ID", "off@other"),
            ("CSeq", "1 REGISTER"),
            ("Contact", f"<{device.do(lambda: receiver.agent.contact_uri)}>;expires=0"),
            ("Expires", "0"),
        ]
        assert other.ask(write("REGISTER sip:home1.example SIP/2.0", lines), core.address).status == 200

        assert device.wait_for("registration_lost")["reason"] == "ended by the network: unregistered"
        assert not device.receiver.is_registered
        device.call(device.receiver.refresh())
        wait_until(active, 10, lambda: f"the reg event again: {device.events}")
