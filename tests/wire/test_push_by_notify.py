"""Pushes inside subscriptions: content by NOTIFY, what its answers mean, and the order in one dialog."""

from __future__ import annotations

import gzip
import secrets
from functools import partial
from typing import Any

import pytest

from omapush.store import keys
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until

APP = "mms.ua"


@pytest.fixture
def subscriber(stack: Stack, core: SipPeer) -> Subscriber:
    """A device that has subscribed, and has got its first, empty NOTIFY."""
    return subscribed(stack, core)


def subscribed(stack: Stack, core: SipPeer, app: str = APP, aor: str = "", **more: Any) -> Subscriber:
    device = Subscriber(stack, core, aor) if aor else Subscriber(stack, core)
    device.begin(**wants(app), **more)
    device.notifies(1)
    device.settle()
    return device


def messages(core: SipPeer, aor: str) -> list[SipText]:
    return [one for one in core.requests if one.method == "MESSAGE" and one.start_line.split()[1] == aor]


@pytest.mark.req("PSA-NOT-1", "PSA-NOT-2", "PSA-NOT-3", "PSA-SUB-1", "PSA-SUB-3", "SIPPUSH-PSA-S-006")
def test_a_push_goes_into_the_subscription_and_its_200_is_the_delivery(subscriber: Subscriber) -> None:
    stack = subscriber.stack

    ref = stack.submit(subscriber.aor, b"\x00\xff binary \x01", content_type="application/x-b; v=1")

    result = stack.result(ref)
    assert (result.state, result.code, result.method, result.sip_code) == ("delivered", "1000", "NOTIFY", 200)
    first, second = subscriber.notifies(2)
    assert second.body == b"\x00\xff binary \x01"
    assert second.header("Content-Type") == "application/x-b; v=1"
    assert second.header("Event") == "ua-profile;effective-by=0"
    assert second.header("Subscription-State").startswith("active;expires=")
    assert second.header("From") == first.header("From")
    assert second.header("To") == first.header("To")
    assert (first.header("CSeq"), second.header("CSeq")) == ("1 NOTIFY", "2 NOTIFY")
    assert not messages(subscriber.core, subscriber.aor)
    sent = next(event for event in stack.known(ref).events if event.name == "sent")
    assert "NOTIFY" in sent.text
    assert subscriber.to_tag in sent.text


@pytest.mark.req("PSA-SUB-1", "GEN-1")
def test_without_a_subscription_to_that_application_it_is_a_message(subscriber: Subscriber) -> None:
    ref = subscriber.stack.submit(subscriber.aor, app="ulp.ua")

    assert subscriber.stack.result(ref).method == "MESSAGE"
    assert len(subscriber.notifies(1)) == 1


@pytest.mark.req("PROP-X-4")
def test_pushes_to_one_dialog_stay_in_order_and_never_two_at_once(subscriber: Subscriber) -> None:
    stack, core = subscriber.stack, subscriber.core
    core.policy = lambda one: None
    refs = [stack.submit(subscriber.aor, f"push {number}".encode()) for number in range(5)]
    subscriber.notifies(2)
    subscriber.ask(**wants(APP), expires="700")  # its NOTIFY has to wait as well
    assert len(subscriber.notifies(2)) == 2
    core.policy = lambda one: OK
    for ref in refs:
        assert stack.result(ref).state == "delivered"
    bodies = [one.body.decode() for one in subscriber.notifies(6) if one.body]
    assert bodies == [f"push {number}" for number in range(5)]
    numbers = [int(one.header("CSeq").split()[0]) for one in subscriber.notifies(6)]
    assert numbers == sorted(set(numbers))


@pytest.mark.req("PSA-NOT-4")
@pytest.mark.parametrize("code", [481, 404, 405, 410, 480, 489, 501, 604])
def test_an_answer_that_ends_the_subscription_makes_another_method_be_chosen(
    subscriber: Subscriber, code: int
) -> None:
    stack = subscriber.stack
    subscriber.core.policy = lambda one: Says(code) if one.method == "NOTIFY" else OK

    ref = stack.submit(subscriber.aor, b"twice")

    assert stack.result(ref).method == "MESSAGE"
    assert [one.body for one in messages(subscriber.core, subscriber.aor)] == [b"twice"]
    assert subscriber.stored is None
    names = [event.name for event in stack.known(ref).events]
    assert (names[0], names[-1]) == ("accepted", "final")
    # An answer of the same millisecond may be stored before it is noted that the request was sent.
    assert sorted(names[1:-1]) == ["reply", "sent", "sent"]


@pytest.mark.req("PSA-NOT-4")
@pytest.mark.parametrize(
    ("code", "pap"), [(403, "5027"), (415, "5030"), (603, "5026"), (413, "5029"), (406, "5030")]
)
def test_an_answer_that_refuses_the_content_is_the_result_and_the_dialog_lives(
    stack: Stack, core: SipPeer, code: int, pap: str
) -> None:
    """Where the application allows no other method; else test_next_method.py."""
    device = subscribed(stack, core, "dialog.ua")
    core.policy = lambda one: Says(code) if one.method == "NOTIFY" else OK
    ref = stack.submit(device.aor, app="dialog.ua")

    result = stack.result(ref)

    assert (result.method, result.sip_code, result.code) == ("NOTIFY", code, pap)
    assert not messages(core, device.aor)
    assert device.stored is not None


def test_retry_after_is_obeyed_in_the_subscription(stack: Stack, core: SipPeer) -> None:
    device = subscribed(stack, core, "thrice.ua")
    core.policy = lambda one: Says(503, headers={"Retry-After": "1"}) if one.body else OK
    ref = stack.submit(device.aor, app="thrice.ua")
    device.notifies(2)
    core.policy = lambda one: OK

    result = stack.result(ref)

    assert (result.state, result.method, result.attempts) == ("delivered", "NOTIFY", 2)
    retry = next(event for event in stack.known(ref).events if event.name == "retry")
    sent = [event for event in stack.known(ref).events if event.name == "sent"]
    assert sent[1].at_ms - retry.at_ms >= 1_000


def test_what_the_subscriber_does_not_accept_is_not_put_into_its_dialog(stack: Stack, core: SipPeer) -> None:
    device = subscribed(stack, core, accept="image/*, text/html")

    plain = stack.submit(device.aor, b"plain", content_type="text/plain")
    image = stack.submit(device.aor, b"image", content_type="image/png")

    assert stack.result(plain).method == "MESSAGE"
    assert stack.result(image).method == "NOTIFY"
    sent = next(event for event in stack.known(plain).events if event.name == "sent")
    assert "takes no text/plain there" in sent.text


@pytest.mark.req("PROP-CTRL-1")
def test_wrapped_where_profile_and_subscriber_want_it(stack: Stack, core: SipPeer) -> None:
    both = subscribed(stack, core, "wrapped.ua", accept="application/vnd.oma.push, text/plain")
    native = subscribed(stack, core, "wrapped.ua", accept="text/plain")
    for device in (both, native):
        stack.result(stack.submit(device.aor, app="wrapped.ua"))

    assert both.notifies(2)[1].header("Content-Type") == "application/vnd.oma.push"
    assert both.notifies(2)[1].body.endswith(b"\r\n\r\nhello")
    assert native.notifies(2)[1].header("Content-Type") == "text/plain"
    assert native.notifies(2)[1].body == b"hello"


def test_gzip_where_the_subscriber_accepts_it(stack: Stack, core: SipPeer) -> None:
    content = b"again and " * 50
    with_it = subscribed(stack, core, "gzip.ua", Accept_Encoding="gzip;q=0.5, identity")
    without = subscribed(stack, core, "gzip.ua", Accept_Encoding="identity, gzip;q=0")
    for device in (with_it, without):
        stack.result(stack.submit(device.aor, content, app="gzip.ua"))

    coded, plain = with_it.notifies(2)[1], without.notifies(2)[1]
    assert coded.header("Content-Encoding") == "gzip"
    assert gzip.decompress(coded.body) == content
    assert plain.body == content
    assert not plain.all("Content-Encoding")


def test_content_that_no_message_could_carry_goes_by_notify_up_to_its_limit(make_stack: MakeStack) -> None:
    """20,000 bytes are kept with the push and fetched; 30,001 are too many."""
    stack = make_stack({"sip": {"tcp_above": 0}}, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        device = subscribed(stack, core)
        content = secrets.token_bytes(20_000)

        fits = stack.result(stack.submit(device.aor, content))
        too_large = stack.result(stack.submit(device.aor, secrets.token_bytes(30_001)))

        assert (fits.state, fits.method) == ("delivered", "NOTIFY")
        assert device.notifies(2)[1].body == content
        assert (too_large.state, too_large.code) == ("undeliverable", "2006")
        assert "a NOTIFY carries 30000" in too_large.desc


def test_each_subscription_of_a_user_gets_it_once(stack: Stack, core: SipPeer) -> None:
    phone = subscribed(stack, core)
    tablet = subscribed(stack, core, aor=phone.aor)
    watch = subscribed(stack, core, aor=phone.aor)
    core.policy = lambda one: Says(500) if one.header("Call-ID") == tablet.call_id else OK

    ref = stack.submit(phone.aor, b"for all")

    result = stack.result(ref)
    assert (result.state, result.method, result.attempts) == ("delivered", "NOTIFY", 1)
    assert "2 of 3 subscriptions" in result.desc
    for device in (phone, tablet, watch):
        assert [one.body for one in device.notifies(2)] == [b"", b"for all"]
    assert not messages(core, phone.aor)
    assert not stack.db.keys("told:*")


def test_a_device_that_lost_its_dialogs_gets_a_push_in_its_new_one_first(stack: Stack, core: SipPeer) -> None:
    """The old one is silent; the push is there before that is known."""
    for _ in range(3):  # the names of subscriptions are in no order of time
        before = subscribed(stack, core)
        after = subscribed(stack, core, aor=before.aor)
        core.policy = partial(_silent_in, before.call_id)

        ref = stack.submit(after.aor, b"to me")

        assert after.notifies(2, 3.0)[1].body == b"to me"
        core.policy = lambda _: OK
        assert stack.result(ref).state == "delivered"


def _silent_in(call_id: str, one: SipText) -> Says | None:
    return None if one.header("Call-ID") == call_id else OK


def test_when_no_subscription_of_a_user_takes_it_the_result_is_theirs(stack: Stack, core: SipPeer) -> None:
    devices = [subscribed(stack, core, "dialog.ua")]
    devices.append(subscribed(stack, core, "dialog.ua", aor=devices[0].aor))
    core.policy = lambda one: Says(415) if one.method == "NOTIFY" else OK

    result = stack.result(stack.submit(devices[0].aor, app="dialog.ua"))

    assert (result.state, result.code, result.method) == ("aborted", "5030", "NOTIFY")
    assert not messages(core, devices[0].aor)


def test_what_waits_when_a_device_subscribes_is_in_its_first_notify(stack: Stack, core: SipPeer) -> None:
    """The application takes NOTIFY alone and holds: so the push waits for the SUBSCRIBE."""
    device = Subscriber(stack, core)
    ref = stack.submit(device.aor, b"waited", app="dialog.ua")
    wait_until(lambda: any(one.name == "held" for one in stack.known(ref).events), 5, "held")

    device.begin(**wants("dialog.ua"))

    assert stack.result(ref).method == "NOTIFY"
    assert [one.body for one in device.notifies(1) if one.body] == [b"waited"]
    assert not messages(core, device.aor)


def test_kill_9_amid_notifies_goes_on_with_higher_numbers(make_stack: MakeStack) -> None:
    stack = make_stack({"delivery": {"lease_ms": 1000}}, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        devices = [subscribed(stack, core) for _ in range(10)]
        core.policy = lambda one: None
        refs = [stack.submit(device.aor, b"survives") for device in devices]
        for device in devices:
            device.notifies(2)
        stack.kill("sip")
        core.policy = lambda one: OK
        stack.start("sip")

        for ref, device in zip(refs, devices, strict=True):
            assert stack.result(ref, 20).state == "delivered"
            numbers = [int(one.header("CSeq").split()[0]) for one in device.notifies(3)]
            assert numbers == sorted(set(numbers))
            assert device.stored is not None
        assert not stack.db.exists(*(keys.subscription_part(number, "flight") for number in range(4)))
