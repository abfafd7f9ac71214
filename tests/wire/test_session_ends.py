"""How sessions end other than by their last file: CANCEL, a device's BYE, what both sides ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from omapush import clock
from omapush.store import cancelling
from tests.conftest import MakeStack
from tests.harness.session_device import SESSIONS, TAKES, Device, beside, employ, m_lines
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until

APP = "large.ua"
TWICE = "large-twice.ua"
CONTENT = b"\x89PNG" * 1_000
PARTS = ("redis", "sip", "notifier")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis, Kamailio and notifier, and a media worker that the tests play."""
    with Stack(tmp_path_factory.mktemp("sessions"), SESSIONS, PARTS) as running:
        employ(running)
        yield running


@pytest.fixture
def device(stack: Stack) -> Iterator[Device]:
    with SipPeer(stack.core_port) as core:
        yield Device(stack, core)


def push(device: Device, content: bytes = CONTENT, app: str = APP, **more: Any) -> str:
    return device.stack.submit(device.aor, content, app=app, content_type="image/png", **more)


def push_that_leaves_in_time(device: Device) -> str:
    """One whose time passes after its INVITE has left; on a busy machine a second may pass before."""
    for lifetime_ms in (1_000, 4_000, 16_000):
        ref = push(device, lifetime_ms=lifetime_ms)
        known = device.stack.known
        wait_until(
            lambda: bool(device.all("INVITE")) or known(ref).results[0].state != "pending",  # noqa: B023
            lifetime_ms / 1_000 + 20,
            "the INVITE, or the end of its time",
        )
        if device.all("INVITE"):
            return ref
    raise AssertionError("no INVITE left within 16 s")


def withdraw(device: Device, ref: str) -> None:
    """The initiator takes the push back."""
    known = device.stack.known(ref)
    now_ms = clock.now_ms()
    assert cancelling.cancel(device.stack.store, known, [0], now_ms=now_ms, retention_s=60) == {0: True}


# CANCEL -------------------------------------------------------------------------------------------


@pytest.mark.req("PSA-MSRP-3")
def test_a_push_whose_time_passes_before_the_answer_has_its_invite_cancelled(device: Device) -> None:
    device.answers = [None]
    ref = push_that_leaves_in_time(device)
    invite = device.rings()

    [cancel] = device.wait("CANCEL")

    assert cancel.start_line == invite.start_line.replace("INVITE", "CANCEL", 1)
    assert cancel.branch == invite.branch
    assert cancel.header("CSeq") == "1 CANCEL"
    for name in ("From", "To", "Call-ID", "Route"):
        assert cancel.header(name) == invite.header(name)
    device.says(invite, Says(487, "Request Terminated"))
    result = device.stack.result(ref)
    assert (result.state, result.code) == ("expired", "5028")
    device.until("ended")
    assert [one.header("CSeq") for one in device.wait("ACK")] == ["1 ACK"]
    assert not device.all("BYE")


@pytest.mark.req("PSA-MSRP-3")
def test_a_cancel_waits_for_a_provisional_answer(device: Device) -> None:
    device.answers = [None]
    ref = push(device)
    invite = device.invite
    withdraw(device, ref)
    wait_until(lambda: device.session.cancelled, 5, "the decision to cancel")
    other = device.stack.submit(device.aor, b"something small", app="mms.ua")
    assert device.stack.result(other).state == "delivered"
    assert not device.all("CANCEL")

    device.says(invite, Says(180, "Ringing"))

    assert len(device.wait("CANCEL")) == 1
    device.says(invite, Says(487, "Request Terminated"))
    device.until("ended")


@pytest.mark.req("PSA-MSRP-3")
def test_a_200_that_crosses_the_cancel_is_acknowledged_and_followed_by_bye(device: Device) -> None:
    device.answers = [None]
    ref = push(device)
    invite = device.rings()
    withdraw(device, ref)
    device.wait("CANCEL")

    device.says(invite, device.takes(invite))

    assert device.wait("ACK")[0].header("To").endswith(device.tag)
    assert device.wait("BYE")[0].header("To").endswith(device.tag)
    session = device.until("ended")
    assert session.streams[0].peer_path == ""


def test_an_invite_with_two_files_goes_on_when_one_is_withdrawn(device: Device) -> None:
    device.answers = [None]
    first, second = push(device), push(device, CONTENT[4:])
    invite = device.rings()
    withdraw(device, first)

    device.says(invite, device.takes(invite))

    device.until("open", "ended,agreed")
    assert m_lines(device.wait("INVITE", 2)[1].body)[0].port == 0
    device.until("open", "closed,agreed")
    device.transferred(1)
    assert device.stack.result(second).state == "delivered"
    assert not device.all("CANCEL")


def test_a_device_that_never_answers_is_given_up_and_tried_by_plan(make_stack: MakeStack) -> None:
    settings = {**SESSIONS, "sessions": {**SESSIONS["sessions"], "answer_s": 1}}
    stack = make_stack(settings, PARTS)
    employ(stack)
    with SipPeer(stack.core_port) as core:
        device = Device(stack, core, answers=[None])
        ref = push(device, app=TWICE)
        invite = device.rings()
        device.wait("CANCEL")
        device.answers = [TAKES]

        device.says(invite, Says(487, "Request Terminated"))

        device.wait("INVITE", 2)
        device.until("open", "agreed")
        device.transferred()
        assert stack.result(ref).attempts == 2


def test_a_push_that_is_withdrawn_while_it_is_transferred_ends_the_session(device: Device) -> None:
    ref = push(device)
    device.until("open", "agreed")

    withdraw(device, ref)

    assert len(device.wait("BYE")) == 1
    device.until("ended", "ended")
    assert device.stack.result(ref).state == "cancelled"
    assert len(device.all("INVITE")) == 1


def test_a_transfer_that_has_begun_goes_on_past_deliver_before(device: Device) -> None:
    ref = push(device, lifetime_ms=700)
    device.until("open", "agreed")
    before_ms = device.stack.known(ref).push.deliver_before_ms
    wait_until(lambda: device.stack.store.db.time()[0] * 1000 > before_ms + 1_000, 5, "deliver-before")
    assert not device.all("BYE")

    device.transferred()

    assert device.stack.result(ref).state == "delivered"


# The device ends it -------------------------------------------------------------------------------


@pytest.mark.req("PSA-MSRP-4")
def test_a_bye_of_the_device_is_answered_and_the_push_is_tried_again(device: Device) -> None:
    ref = push(device, app=TWICE)
    device.until("open", "agreed")

    answer = device.asks("BYE")

    assert answer.status == 200
    again = device.wait("INVITE", 2)[1]
    first = m_lines(device.invite.body)[0]
    assert m_lines(again.body)[0].value("file-transfer-id") == first.value("file-transfer-id")
    device.until("open", "agreed")
    device.transferred()
    assert device.stack.result(ref).state == "delivered"
    assert len(device.wait("BYE")) == 1


def test_why_the_device_ended_the_session_is_told(device: Device) -> None:
    """RFC 3326."""
    ref = push(device, app="large-once.ua")
    device.until("open", "agreed")

    device.asks("BYE", Reason='SIP;cause=486;text="Busy Here"')

    said = 'the device ended the session (SIP;cause=486;text="Busy Here")'
    assert said in device.stack.result(ref).desc


def test_a_second_bye_gets_481(device: Device) -> None:
    push(device, app="large-once.ua")
    device.until("open", "agreed")

    assert [device.asks("BYE").status, device.asks("BYE").status] == [200, 481]


@pytest.mark.parametrize(
    "change",
    [
        {"From": "<sip:other@home1.example>;tag=stranger"},
        {"To": "<sip:psa@home1.example>;tag=other"},
        {"Call_ID": "i" + "0" * 32 + "@127.0.0.1"},
        {"Call_ID": "not-ours@127.0.0.1"},
    ],
)
def test_a_bye_outside_of_our_dialogs_gets_481_and_changes_nothing(
    device: Device, change: dict[str, str]
) -> None:
    push(device)
    device.until("open", "agreed")

    assert device.asks("BYE", **change).status == 481
    assert device.until("open", "agreed")
    device.transferred()


@pytest.mark.parametrize("method", ["INFO", "MESSAGE", "X-UNHEARD-OF"])
def test_a_request_that_means_nothing_in_a_session_is_refused_and_the_session_goes_on(
    device: Device, method: str
) -> None:
    """481 would tell the device that its session is gone, and it would end it (RFC 5057)."""
    ref = push(device)
    device.until("open", "agreed")

    answer = device.asks(method)

    assert (answer.status, answer.header("Allow")) == (405, "INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS")
    device.until("open", "agreed")
    device.transferred()
    assert device.stack.result(ref).state == "delivered"
    device.until("ended")


@pytest.mark.parametrize(("theirs", "ours"), [("passive", "active"), ("active", "passive")])
def test_a_reinvite_that_changes_nothing_is_answered_with_what_is_there(
    device: Device, theirs: str, ours: str
) -> None:
    """As an answer: with the role that was agreed on, in place of the `actpass` of the offer."""
    device.setup = theirs
    push(device)
    device.until("open", "agreed")
    offer = device.sdp(device.invite.body)

    answer = device.asks("INVITE", offer)

    assert answer.status == 200
    assert answer.header("Contact") == f"<sip:127.0.0.1:{device.stack.sip[1]}>"
    assert answer.header("Content-Type") == "application/sdp"
    before, after = (body.decode().splitlines() for body in (device.invite.body, answer.body))
    said = {f"a=setup:{ours}", after[1]}
    assert [one for one in after if one not in before] == [one for one in after if one in said]
    assert [one for one in before if one not in after] == [before[1], "a=setup:actpass"]
    assert int(after[1].split()[2]) == int(before[1].split()[2]) + 1
    device.acknowledges(answer)
    assert device.until("open", "agreed")
    device.transferred()


def test_a_device_holds_its_file_and_lets_it_go_on(device: Device) -> None:
    """RFC 3264 8.4: a phone call may come in between."""
    ref = push(device)
    device.until("open", "agreed")
    offer = device.sdp(device.invite.body)

    for body, ours, is_held in (
        (offer.replace(b"a=recvonly", b"a=inactive"), "inactive", True),
        (offer, "sendonly", False),
    ):
        answer = device.asks("INVITE", body)
        device.acknowledges(answer)

        assert f"a={ours}\r\n" in answer.body.decode()
        assert [one.held for one in device.session.streams] == [is_held]
    device.transferred()
    assert device.stack.result(ref).state == "delivered"


def test_an_invite_without_offer_gets_ours_and_an_update_without_one_refreshes(device: Device) -> None:
    push(device)
    device.until("open", "agreed")

    answer = device.asks("INVITE")
    device.acknowledges(answer)

    assert answer.body == device.invite.body
    assert device.asks("UPDATE", Contact="<sip:elsewhere@127.0.0.9>").status == 200
    assert device.until("open", "agreed").dialog.remote_target in (
        "sip:elsewhere@127.0.0.9",
        f"sip:device@127.0.0.1:{device.core.port}",
    )
    device.transferred()


def test_a_device_closes_one_of_two_files(device: Device) -> None:
    first, second = push(device, app="large-once.ua"), push(device, CONTENT[4:], app="large-once.ua")
    device.until("open", "agreed,agreed")
    device.refuse = frozenset({0})

    answer = device.asks("INVITE", device.sdp(device.invite.body))
    device.acknowledges(answer)

    assert [line.port for line in m_lines(answer.body)] == [0, 2855]
    assert device.stack.result(first).code == "4000"
    device.transferred(1)
    assert device.stack.result(second).state == "delivered"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda sdp: sdp.replace(b"7394/0", b"7395/0"), 488),
        (lambda sdp: sdp + b"m=audio 4000 RTP/AVP 0\r\n", 488),
        (lambda sdp: b"v=1\r\n", 400),
    ],
)
def test_a_reinvite_that_changes_more_is_refused_and_the_session_goes_on(
    device: Device, change: Any, status: int
) -> None:
    ref = push(device)
    device.until("open", "agreed")

    answer = device.asks("INVITE", change(device.sdp(device.invite.body)))

    assert answer.status == status
    device.until("open", "agreed")
    device.transferred()
    assert device.stack.result(ref).state == "delivered"


@pytest.mark.parametrize(("handling", "status"), [("optional", 200), ("required", 415)])
def test_an_offer_beside_something_else_is_read_unless_that_has_to_be_understood(
    device: Device, handling: str, status: int
) -> None:
    """RFC 5621 4."""
    ref = push(device)
    device.until("open", "agreed")
    isup = f"Content-Type: application/isup\r\nContent-Disposition: signal;handling={handling}"
    body = beside(isup, b"\x06\x16", device.sdp(device.invite.body))

    answer = device.asks("INVITE", body, content_type="multipart/mixed;boundary=beside")

    assert answer.status == status
    if status == 200:
        device.acknowledges(answer)
        assert [line.port for line in m_lines(answer.body)] == [2855]
    else:
        assert "multipart/mixed" in answer.header("Accept").split(", ")
    device.transferred()
    assert device.stack.result(ref).state == "delivered"


def test_a_reinvite_that_meets_ours_gets_491(device: Device) -> None:
    push(device)
    device.until("open", "agreed")
    offer = device.sdp(device.invite.body)
    device.core.policy = lambda one: (
        None if one.header("CSeq") == "2 INVITE" and device.aor in one.header("To") else device.policy(one)
    )
    push(device, CONTENT[4:])
    device.wait("INVITE", 2)

    assert device.asks("INVITE", offer).status == 491

    device.core.policy = device.policy
    device.until("open", "agreed,agreed")
    device.transferred(0)
    device.transferred(1)
    device.until("ended")


def test_our_reinvite_that_meets_theirs_is_sent_again_later(device: Device) -> None:
    ref = push(device)
    device.until("open", "agreed")
    device.core.policy = lambda one: (
        Says(491, "Request Pending", to_tag=device.tag)
        if one.header("CSeq") == "2 INVITE" and device.aor in one.header("To")
        else device.policy(one)
    )
    later = push(device, CONTENT[4:])

    third = device.wait("INVITE", 3)[2]

    assert third.header("CSeq") == "3 INVITE"
    device.until("open", "agreed,agreed")
    device.transferred(0)
    device.transferred(1)
    assert [device.stack.result(one).state for one in (ref, later)] == ["delivered"] * 2


def test_a_reinvite_that_gets_481_ends_the_session(device: Device) -> None:
    first = push(device, app="large-once.ua")
    device.until("open", "agreed")
    device.core.policy = lambda one: (
        Says(481, "Gone", to_tag=device.tag)
        if one.header("CSeq").startswith("2 ") and device.aor in one.header("To")
        else device.policy(one)
    )
    second = push(device, CONTENT[4:], app="large-once.ua")

    assert device.stack.result(first).code == "4000"
    assert device.stack.result(second).sip_code == 481
    assert device.wait("BYE")[0].header("CSeq") == "3 BYE"


def test_a_second_device_that_takes_the_invite_is_acknowledged_and_sent_away(device: Device) -> None:
    ref = push(device)
    session = device.until("open", "agreed")
    other = "of-the-other-fork"
    first, device.tag = device.tag, other

    device.says(device.invite, device.takes(device.invite))

    [bye] = device.wait("BYE")
    acks = [one for one in device.wait("ACK", 2) if one.header("To").endswith(other)]
    assert (acks[0].header("CSeq"), bye.header("CSeq")) == ("1 ACK", "2 BYE")
    assert bye.header("To").endswith(other)
    assert bye.header("From") == device.invite.header("From")
    assert device.until("open", "agreed").dialog == session.dialog
    device.transferred()
    assert device.stack.result(ref).state == "delivered"
    assert device.wait("BYE", 2)[1].header("To").endswith(first)
