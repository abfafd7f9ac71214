"""A device whose address changes: registered from the new one, old binding dropped, subscriptions moved."""

import asyncio
import socket
from itertools import count
from typing import Any

import pytest

from omapush.errors import BadConfiguration
from omapush.receiver import (
    Application,
    Endpoint,
    Listen,
    Push,
    Receiver,
    RegistrationFailed,
    Timers,
    TransportFailed,
)
from tests.fakes.sip_text import SipText
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import Says
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, FAST, PSA, grant, notify, registered, request, requests, wait_for
from tests.unit.receiver.session_bench import bench, send

HERE, THERE = "127.0.0.1", "127.0.0.2"
CONTENT: dict[str, Any] = {"subscribe_to": (("mms.ua", PSA),)}


def contact(request: SipText) -> str:
    """The first Contact URI."""
    return request.header("Contact").partition("<")[2].partition(">")[0]


def move(device: ReceiverThread, host: str = THERE) -> None:
    device.call(device.receiver.move(host))


@pytest.mark.req("PRA-REG-1")
def test_one_register_binds_the_new_address_and_drops_the_old_one() -> None:
    with registered() as (peer, device):
        first = requests(peer, "REGISTER")[0]
        move(device)

        second = requests(peer, "REGISTER")[1]
        assert contact(first).startswith(f"sip:alice@{HERE}:")
        assert contact(second) == f"sip:alice@{THERE}:{device.receiver.address[1]}"
        assert second.all("Contact")[1:] == [f"<{contact(first)}>;expires=0"]
        assert second.header("Via").startswith(f"SIP/2.0/UDP {THERE}:")
        assert second.header("Call-ID") == first.header("Call-ID")
        device.call(device.receiver.refresh())
        assert len(requests(peer, "REGISTER")[2].all("Contact")) == 1
        assert device.receiver.is_registered
    assert requests(peer, "REGISTER")[-1].all("Contact")[0].startswith(f"<sip:alice@{THERE}:")


@pytest.mark.req("PRA-MSG-3")
def test_pushes_are_taken_at_the_new_address_and_those_under_way_at_the_old_one() -> None:
    with registered(timers=Timers(t1_s=0.02, t2_s=0.1)) as (peer, device):
        old = device.receiver.address
        move(device)
        assert peer.ask(request(peer, "MESSAGE", body=b"new"), device.receiver.address).status == 200
        assert peer.ask(request(peer, "MESSAGE", body=b"under way"), old).status == 200
        assert [push.content for push in device.pushes] == [b"new", b"under way"]
        wait_until(lambda: is_free(old), 10, "the end of the old socket")
        assert peer.ask(request(peer, "MESSAGE", body=b"later"), device.receiver.address).status == 200


def is_free(address: tuple[str, int]) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.bind(address)
        except OSError:
            return False
        return True


def test_a_push_that_is_being_decided_during_the_move_is_answered() -> None:
    async def slow(_push: Push) -> None:
        await asyncio.sleep(0.5)

    with registered() as (peer, device):
        device.receiver.delivery._applications["mms.ua"] = ("mms.ua", Application(slow))
        old = device.receiver.address
        raw = request(peer, "MESSAGE", body=b"x")
        peer.send(raw, old)
        wait_until(lambda: device.do(lambda: len(device.receiver.endpoint.server._known)) == 1, 5, "the push")
        move(device)
        assert peer.ask(raw, old).status == 200
        assert device.receiver.delivery.delivered == 1


@pytest.mark.req("PRA-SUB-1")
def test_senders_are_told_the_new_address_in_the_dialogs_that_are_there() -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert peer.ask(notify(peer, subscribe), device.receiver.address).status == 200
        move(device)

        refresh = wait_for(peer, "SUBSCRIBE", 2)
        assert refresh.header("Call-ID") == subscribe.header("Call-ID")
        assert refresh.header("To").endswith(";tag=psa")
        assert contact(refresh).startswith(f"sip:alice@{THERE}:")
        assert refresh.header("Expires") == "3600"
        order = [one.method for one in peer.requests]
        assert order.index("SUBSCRIBE") < order.index("REGISTER", 1) < order.index("SUBSCRIBE", 2)
        again = notify(peer, subscribe, body=b"there", cseq=2)
        assert peer.ask(again, device.receiver.address).status == 200
        assert [push.content for push in device.pushes] == [b"there"]


def test_a_request_without_answer_is_asked_again_from_the_new_address() -> None:
    with registered(lambda one: None if one.method == "SUBSCRIBE" else grant(one), **CONTENT) as (
        peer,
        device,
    ):
        wait_for(peer, "SUBSCRIBE")
        move(device)
        second = wait_for(peer, "SUBSCRIBE", 2)
        assert contact(second).startswith(f"sip:alice@{THERE}:")
        assert peer.ask(notify(peer, second), device.receiver.address).status == 200
        assert device.wait_for("subscribed")["state"] == "active"


def test_a_subscription_whose_first_notify_went_astray_is_made_anew() -> None:
    with registered(**CONTENT) as (peer, device):
        first = wait_for(peer, "SUBSCRIBE")
        subscription = device.receiver.subscriptions[0]
        wait_until(lambda: subscription.answered.done(), 5, "the 200")
        move(device)
        second = wait_for(peer, "SUBSCRIBE", 2)
        assert second.header("Call-ID") != first.header("Call-ID")
        assert peer.ask(notify(peer, second), device.receiver.address).status == 200


def test_a_session_that_is_open_goes_on_and_the_next_one_is_at_the_new_address() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        assert sender.invite(file).status == 200
        file.session.connect()
        move(on.device)
        send(file)
        assert len(on.device.pushes) == 1
        assert sender.bye().status == 200

        later, second = on.sender(), on.file()
        assert later.invite(second).status == 200
        assert (later.lines[0].value("path") or "").startswith(f"msrp://{THERE}:")
        send(second)
        assert len(on.device.pushes) == 2


def test_the_sender_of_a_session_reaches_the_device_at_the_old_address_until_its_end() -> None:
    with bench(timers=Timers(t1_s=0.005, t2_s=0.02)) as on:
        sender, file = on.sender(), on.file()
        assert sender.invite(file).status == 200
        file.session.connect()
        old = on.device.receiver.address
        move(on.device)
        later = on.device.do(lambda: next(iter(on.device.receiver.endpoint._former.values())))
        on.device.call(asyncio.sleep(0.7))  # more than 64*T1
        assert not later.done()
        assert not is_free(old)
        send(file)
        assert sender.bye().status == 200
        wait_until(lambda: is_free(old), 5, "the end of the old socket")


def test_an_address_that_cannot_be_opened_leaves_all_as_it_was() -> None:
    with registered() as (peer, device):
        with pytest.raises(TransportFailed, match=r"192\.0\.2\.1"):
            move(device, "192.0.2.1")
        assert len(requests(peer, "REGISTER")) == 1
        assert peer.ask(request(peer, "MESSAGE", body=b"x"), device.receiver.address).status == 200


def test_a_registrar_that_says_no_is_told_and_asked_again() -> None:
    def policy(one: SipText) -> Says | None:
        moved = one.method == "REGISTER" and f"@{THERE}" in one.header("Contact") and next(refusals) == 0
        return Says(500, "No", {"Retry-After": "0"}) if moved else grant(one)

    refusals = count()
    with registered(policy, **CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert peer.ask(notify(peer, subscribe), device.receiver.address).status == 200
        with pytest.raises(RegistrationFailed, match="500"):
            move(device)
        assert not device.receiver.is_registered
        assert device.told("registration_lost")
        assert len(requests(peer, "SUBSCRIBE")) == 1  # nobody knows the new address yet
        device.call(device.receiver.refresh())
        last = requests(peer, "REGISTER")[-1]
        assert last.all("Contact")[1].startswith(f"<sip:alice@{HERE}:")
        assert contact(wait_for(peer, "SUBSCRIBE", 2)).startswith(f"sip:alice@{THERE}:")


def test_one_of_several_devices_on_an_endpoint_does_not_move() -> None:
    async def scenario() -> None:
        endpoint = Endpoint("sip:127.0.0.1:9", Listen(), timers=FAST)
        device = Receiver(ALICE, "sip:127.0.0.1:9", {}, endpoint=endpoint, timers=FAST)
        with pytest.raises(BadConfiguration, match="shared"):
            await device.move()

    asyncio.run(scenario())
