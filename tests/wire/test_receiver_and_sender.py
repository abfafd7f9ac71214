"""Both ends: our receiver, registered through the stand-in S-CSCF, and our sender behind it."""

import gzip
import socket
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from omapush import clock
from omapush.push.registration import applications, is_registered
from omapush.receiver import Listen, Push, Reason, Refused, Senders, Trusted, Whitelist
from omapush.store import capabilities
from tests.conftest import PROFILES
from tests.harness.receiver_thread import receiver_in_thread
from tests.harness.scscf import Scscf
from tests.harness.stack import Stack
from tests.harness.wait import wait_until

PSA = "sip:psa@push.home1.example"
"A public service identity: the core brings to us what goes to this domain."
BINARY = bytes(range(256)) + b"\r\n\r\n--b1\r\n"
_numbers = count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A sender with a public service identity that the core can route."""
    settings = {**PROFILES, "sip": {"uri": PSA}}
    with Stack(tmp_path_factory.mktemp("stack"), settings, ("redis", "sip", "notifier")) as running:
        yield running


@pytest.fixture(scope="module")
def scscf(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scscf]:
    """A core with filter criteria for SUBSCRIBE, as the first form of Refer-To needs them."""
    with Scscf.of(stack, tmp_path_factory.mktemp("scscf"), "WITH_ISC_SUBSCRIBE") as running:
        yield running


@pytest.fixture
def aor() -> str:
    return f"sip:receiver{next(_numbers)}.{time.monotonic_ns()}@home1.example"


def proxy(scscf: Scscf, transport: str = "udp") -> str:
    return f"sip:127.0.0.1:{scscf.address[1]};transport={transport}"


def known_to(stack: Stack, aor: str, *, push: bool = True) -> None:
    """Wait until the sender knows the device, with or without push applications."""

    def is_known() -> bool:
        record, now_ms = stack.registration(aor), clock.now_ms()
        return (
            record is not None
            and is_registered(record, now_ms)
            and bool(applications(record, now_ms)) == push
        )

    wait_until(is_known, 10, lambda: f"registration of {aor}: {stack.registration(aor)}")


@pytest.mark.req("PRA-MSG-3", "PRA-GEN-3", "PSA-MSG-6")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_message_arrives_as_it_was_pushed(stack: Stack, scscf: Scscf, aor: str, transport: str) -> None:
    with receiver_in_thread(aor, proxy(scscf, transport), apps=("mms.ua", "ulp.ua")) as device:
        known_to(stack, aor)
        ref = stack.submit(aor, BINARY, app="ulp.ua", content_type="application/x-test; a=b")
        result = stack.result(ref)

        assert (result.state, result.code, result.method) == ("delivered", "1000", "MESSAGE")
        (push,) = device.wait_for_pushes(1)
        assert (push.content, push.content_type) == (BINARY, "application/x-test; a=b")
        assert (push.application, push.method) == ("ulp.ua", "MESSAGE")
        assert push.sender == "sip:mmsc@home1.example"


@pytest.mark.req("PROP-CTRL-1", "PROP-CTRL-2", "PROP-CTRL-4")
@pytest.mark.parametrize("app", ["wrapped.ua", "gzip.ua", "marked.ua"])
def test_each_form_of_a_push_gives_the_same_record(stack: Stack, scscf: Scscf, aor: str, app: str) -> None:
    content = b"the same again and again " * 20
    with receiver_in_thread(aor, proxy(scscf), apps=(app,)) as device:
        known_to(stack, aor)
        ref = stack.submit(aor, content, app=app, headers=[("X-Wap-Content-URI", "http://c.example/1")])

        assert stack.result(ref).state == "delivered"
        (push,) = device.wait_for_pushes(1)
        assert (push.content, push.content_type, push.application) == (content, "text/plain", app)
        assert push.wrapped == (app == "wrapped.ua")
        assert bool(push.push_id) == (app == "marked.ua")
        assert (push.header("Content-Encoding") == "gzip") == (app == "gzip.ua")
        assert len(gzip.compress(content)) < len(content)


@pytest.mark.req("PROP-CTRL-3")
@pytest.mark.parametrize(
    ("refusal", "state", "code", "sip_code"),
    [
        (Refused(Reason.TYPE, "cannot show it", accept=("image/png",)), "aborted", "5030", 415),
        (Refused(Reason.FORBIDDEN, "never"), "aborted", "5027", 403),
        (Refused(Reason.DECLINED, "not now"), "aborted", "5026", 603),
    ],
)
def test_the_applications_refusal_reaches_the_sender(
    stack: Stack, scscf: Scscf, aor: str, refusal: Refused, state: str, code: str, sip_code: int
) -> None:
    def decide(_push: Push) -> None:
        raise refusal

    with receiver_in_thread(aor, proxy(scscf), apps=("once.ua",)) as device:
        device.decide = decide
        known_to(stack, aor)
        ref = stack.submit(aor, app="once.ua")
        result = stack.result(ref)

        assert (result.state, result.code, result.sip_code) == (state, code, sip_code)
        told = " ".join(event.text for event in stack.known(ref).events)
        assert str(refusal) in told


@pytest.mark.req("PRA-REG-6", "PRA-REG-5")
def test_the_sender_sees_the_device_come_leave_push_and_go(stack: Stack, scscf: Scscf, aor: str) -> None:
    with receiver_in_thread(aor, proxy(scscf)) as device:
        known_to(stack, aor)
        device.call(device.receiver.leave_push())
        known_to(stack, aor, push=False)
        device.call(device.receiver.join_push())
        known_to(stack, aor)

    def is_gone() -> bool:
        record = stack.registration(aor)
        return record is None or not is_registered(record, clock.now_ms()) or not record.contacts

    wait_until(is_gone, 10, lambda: f"end of {stack.registration(aor)}")


@pytest.mark.req("PRA-SUB-4", "PROP-CAP-1", "PROP-CAP-2", "SIPPUSH-PRA-C-003")
def test_the_sender_learns_of_the_device_profile(stack: Stack, scscf: Scscf, aor: str) -> None:
    url = "http://uaprof.maker.example/px300.rdf"
    with receiver_in_thread(aor, proxy(scscf), senders=Senders((PSA,), model=url)) as device:
        device.wait_for("subscribed")
        wait_until(lambda: url in repr(capabilities.read(stack.store, aor)), 10, "the profile's URL")


@pytest.mark.req("PRA-SUB-1", "PRA-SUB-2", "PRA-NOT-1", "PRA-NOT-2", "PSA-SUB-3")
def test_a_subscriber_gets_pushes_in_notifies_in_their_order(stack: Stack, scscf: Scscf, aor: str) -> None:
    with receiver_in_thread(aor, proxy(scscf), subscribe_to=(("mms.ua", PSA),)) as device:
        device.wait_for("subscribed")
        contents = [BINARY, *(f"push {number}".encode() for number in range(9))]
        refs = [stack.submit(aor, content, app="mms.ua") for content in contents]

        results = [stack.result(ref) for ref in refs]
        assert {(one.state, one.method) for one in results} == {("delivered", "NOTIFY")}
        pushes = device.wait_for_pushes(len(contents))
        assert [push.content for push in pushes] == contents
        assert {(push.method, push.application) for push in pushes} == {("NOTIFY", "mms.ua")}
        assert device.receiver.delivery.duplicates == 0


def test_content_that_no_message_could_carry_arrives_by_notify(stack: Stack, scscf: Scscf, aor: str) -> None:
    large = BINARY * 40
    with receiver_in_thread(aor, proxy(scscf, "tcp"), subscribe_to=(("mms.ua", PSA),)) as device:
        device.wait_for("subscribed")
        assert stack.result(stack.submit(aor, large, app="mms.ua")).method == "NOTIFY"
        assert device.wait_for_pushes(1)[0].content == large


@pytest.mark.req("PRA-REF-1", "PRA-REF-2", "PRA-REF-3", "PRA-REF-5", "PRA-REF-6", "PRA-REF-7", "PSA-REF-0")
def test_a_refer_makes_the_device_subscribe_and_a_push_follows(stack: Stack, scscf: Scscf, aor: str) -> None:
    with receiver_in_thread(aor, proxy(scscf), apps=("asking.ua",)) as device:
        known_to(stack, aor)
        ref = stack.submit(aor, BINARY, app="asking.ua")

        result = stack.result(ref, 20)
        assert (result.state, result.method) == ("delivered", "NOTIFY")
        (push,) = device.wait_for_pushes(1)
        assert (push.content, push.application, push.method) == (BINARY, "asking.ua", "NOTIFY")
        assert device.told("referred")[0]["sender"] == PSA

        def ended() -> bool:
            told = [event.text for event in stack.known(ref).events if event.name == "referral"]
            return bool(told) and "subscribed" in told[-1]

        wait_until(ended, 10, lambda: f"the report: {stack.known(ref).events}")
        second = stack.submit(aor, b"and the next", app="asking.ua")
        assert stack.result(second).method == "NOTIFY"
        assert len(device.told("referred")) == 1


@pytest.mark.req("PRA-REF-4", "SEC-13")
def test_a_device_that_does_not_trust_it_refuses_a_refer(stack: Stack, scscf: Scscf, aor: str) -> None:
    whitelist = Whitelist((Trusted("sip:someone@else.example"),))
    with receiver_in_thread(aor, proxy(scscf), apps=("asking.ua",), whitelist=whitelist) as device:
        known_to(stack, aor)
        stack.submit(aor, app="asking.ua", lifetime_ms=3_000)

        assert "whitelist" in str(device.wait_for("refused")["reason"])
        assert device.receiver.subscriptions == ()
        assert device.pushes == []


# ---- how the device is reached -----------------------------------------------------------------------------


@pytest.mark.req("PRA-REG-1", "PRA-MSG-3")
def test_a_device_whose_register_is_too_large_for_udp_gets_its_pushes(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    apps = tuple(f"application{number}.ua" for number in range(60))
    with receiver_in_thread(aor, proxy(scscf), apps=(*apps, "ulp.ua")) as device:
        known_to(stack, aor)
        assert stack.result(stack.submit(aor, BINARY, app="ulp.ua")).method == "MESSAGE"
        assert device.wait_for_pushes(1)[0].content == BINARY


@pytest.mark.req("PRA-MSG-3", "PRA-NOT-1")
def test_a_device_behind_a_nat_gets_its_pushes_over_its_own_connection(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    settings: dict[str, Any] = {"listen": Listen(behind_nat=True), "subscribe_to": (("mms.ua", PSA),)}
    with receiver_in_thread(aor, proxy(scscf, "tcp"), apps=("mms.ua", "ulp.ua"), **settings) as device:
        known_to(stack, aor)
        device.wait_for("subscribed")
        results = [stack.result(stack.submit(aor, BINARY, app=app)) for app in ("ulp.ua", "mms.ua")]
        assert [one.method for one in results] == ["MESSAGE", "NOTIFY"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(device.receiver.address)


@pytest.mark.req("PRA-REG-1", "PRA-SUB-1", "PRA-NOT-1")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_pushes_follow_a_device_to_its_new_address(
    stack: Stack, scscf: Scscf, aor: str, transport: str
) -> None:
    settings: dict[str, Any] = {"subscribe_to": (("mms.ua", PSA),)}
    with receiver_in_thread(aor, proxy(scscf, transport), apps=("mms.ua", "ulp.ua"), **settings) as device:
        known_to(stack, aor)
        device.wait_for("subscribed")
        assert stack.result(stack.submit(aor, b"here", app="mms.ua")).method == "NOTIFY"
        device.call(device.receiver.move("127.0.0.2"))

        def is_there() -> bool:
            record = stack.registration(aor)
            return record is not None and ["@127.0.0.2:" in one.uri for one in record.contacts] == [True]

        wait_until(is_there, 10, lambda: f"one contact, at 127.0.0.2: {stack.registration(aor)}")
        results = [stack.result(stack.submit(aor, b"there", app=app)) for app in ("ulp.ua", "mms.ua")]
        assert [(one.state, one.method) for one in results] == [
            ("delivered", "MESSAGE"),
            ("delivered", "NOTIFY"),
        ]
        assert len(device.told("subscribed")) == 1  # the same dialog
        assert [push.content for push in device.wait_for_pushes(3)] == [b"here", b"there", b"there"]


@pytest.mark.req("PRA-REG-1", "PRA-REG-8", "PRA-MSG-3")
def test_no_push_is_lost_or_shown_twice_while_a_device_moves_on_and_on(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    """And its own reg event, which tells of each binding that it removes, does not send it away."""
    settings: dict[str, Any] = {"watch_registration": True, "subscribe_to": (("mms.ua", PSA),)}
    with receiver_in_thread(aor, proxy(scscf), apps=("mms.ua", "marked.ua"), **settings) as device:
        known_to(stack, aor)
        wait_until(lambda: len(device.told("subscribed")) == 2, 10, "content and reg event")
        refs = []
        for number in range(40):
            if number % 8 == 4:
                device.call(device.receiver.move(f"127.0.0.{2 + number // 8}"))
            app = ("mms.ua", "marked.ua")[number % 2]
            refs.append(stack.submit(aor, f"push {number}".encode(), app=app))

        assert {stack.result(ref, 30).state for ref in refs} == {"delivered"}
        contents = [push.content for push in device.wait_for_pushes(len(refs))]
        assert sorted(contents) == sorted(f"push {number}".encode() for number in range(len(refs)))
        assert device.told("registration_lost") == []
        assert len(device.told("subscribed")) == 2
