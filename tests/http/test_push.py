"""A push from the PAP request to the result that its initiator is told."""

from datetime import UTC, datetime, timedelta

import pytest

from omapush import clock
from omapush.push.values import Event, push_ref
from omapush.store import owed, pushes
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

ALICE = "sip:alice@home1.example"
EVERY_BYTE = bytes(range(256))


@pytest.mark.req("PSA-GEN-3", "PSA-MSG-3", "SIPPUSH-PSA-S-001")
def test_any_bytes_reach_the_handset_and_the_result_is_told_once(
    initiator: PushInitiator, sink: NotificationSink, core: SipPeer, push_id: str
) -> None:
    answer = initiator.push(
        push_id,
        user_address(ALICE),
        EVERY_BYTE,
        content_type="application/vnd.wap.mms-message",
        app="x-wap-application:mms.ua",
        notify_to=sink.url,
    )
    assert (answer.http_status, answer.code) == (202, "1001")

    message = core.wait_for_push(ALICE)[0]
    assert message.body == EVERY_BYTE
    assert message.header("Content-Type") == "application/vnd.wap.mms-message"
    told = sink.wait_for(1)
    assert (told[0].push_id, told[0].address) == (push_id, user_address(ALICE))
    assert (told[0].message_state, told[0].code) == ("delivered", "1000")
    assert initiator.status(push_id).find("statusquery-result")["message-state"] == "delivered"
    assert len(sink.received) == 1


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("WAPPUSH=bob%40home1.example/TYPE=USER@ppg.home1.example", "sip:bob@home1.example"),
        ("/wappush=bob%40Home1.EXAMPLE/type=user@ppg", "sip:bob@home1.example"),
        ("WAPPUSH=+358-40.1234567/TYPE=PLMN@ppg.home1.example", "tel:+358401234567"),
        ("WAPPUSH=+358401234567/TYPE=PLMN", "tel:+358401234567"),
        ("sip:carol@home1.example", "sip:carol@home1.example"),
        ("tel:+358401234567", "tel:+358401234567"),
        ("dave@home1.example", "sip:dave@home1.example"),
    ],
)
@pytest.mark.req("PSA-MSG-3")
def test_each_form_of_address_reaches_its_user(
    initiator: PushInitiator, core: SipPeer, push_id: str, address: str, uri: str
) -> None:
    assert initiator.push(push_id, address, b"x", app="mms.ua").code == "1001"

    assert push_id  # each case has its own, so that the next line sees this push
    ref = push_ref("trusted", push_id)
    wait_until(
        lambda: any(ref in request.header("Call-ID") for request in core.pushes(uri)), 10, f"a push to {uri}"
    )


def test_a_tel_number_goes_to_the_sip_identity_of_its_implicit_set(
    front: Stack, initiator: PushInitiator, core: SipPeer, push_id: str
) -> None:
    """A Kamailio S-CSCF answers 480 to a tel Request-URI even when its user is there."""
    raw = (
        "REGISTER sip:as SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{core.port};branch=z9hG4bKtel\r\nMax-Forwards: 70\r\n"
        "From: <sip:scscf>;tag=1\r\nTo: <sip:bob@ims.lab>\r\nCall-ID: tel\r\nCSeq: 10 REGISTER\r\n"
        f"Contact: <sip:127.0.0.1:{core.port}>\r\nExpires: 3720\r\n"
        "P-Associated-URI: <sip:bob@ims.lab, tel:+15550102>\r\nContent-Length: 0\r\n\r\n"
    )
    assert core.ask(raw.encode(), front.sip).status == 200

    initiator.push(push_id, "WAPPUSH=+15550102/TYPE=PLMN@ppg", b"x", app="mms.ua")

    core.wait_for_push("sip:bob@ims.lab")
    assert core.pushes("tel:+15550102") == []


def test_one_bad_address_among_good_ones_gets_its_own_result(
    initiator: PushInitiator, sink: NotificationSink, core: SipPeer, push_id: str
) -> None:
    good = [user_address(f"sip:many{number}@home1.example") for number in range(10)]
    bad = "WAPPUSH=192.0.2.7/TYPE=IPv4@ppg.home1.example"

    answer = initiator.push(push_id, [*good, bad, good[0]], b"x", app="mms.ua", notify_to=sink.url)
    assert answer.code == "1001"

    told = sink.wait_for(len(good) + 1)
    assert sorted(one.address for one in told if one.code == "1000") == sorted(good)
    assert [(one.address, one.message_state) for one in told if one.code == "2002"] == [
        (bad, "undeliverable")
    ]
    assert initiator.status(push_id, bad).find("statusquery-result")["code"] == "2002"
    assert {len(core.pushes(f"sip:many{number}@home1.example")) for number in range(10)} == {1}


def test_a_push_id_used_twice_is_2007_and_sent_once(
    front: Stack, initiator: PushInitiator, core: SipPeer, push_id: str
) -> None:
    to = "sip:once@home1.example"
    first = initiator.push(push_id, to, b"first", app="mms.ua")
    second = initiator.push(push_id, to, b"second", app="mms.ua")
    with PushInitiator(front.http, "untrusted", PASSWORD) as other:
        others = other.push(push_id, to, b"of another initiator", app="mms.ua")

    assert (first.code, second.code, others.code) == ("1001", "2007", "1001")
    assert {message.body for message in core.wait_for_push(to, 2)} == {b"first", b"of another initiator"}


@pytest.mark.parametrize("failure", [500, 404, "drop"])
def test_a_result_is_told_again_until_the_initiator_takes_it(
    initiator: PushInitiator, sink: NotificationSink, core: SipPeer, push_id: str, failure: int
) -> None:
    sink.fail_next(failure, failure)
    initiator.push(push_id, user_address(ALICE), b"x", app="mms.ua", notify_to=sink.url)

    assert sink.wait_for(1)[0].push_id == push_id
    assert len(sink.received) == 3


def test_a_result_that_is_owed_outlives_the_notifier(
    front: Stack, initiator: PushInitiator, core: SipPeer, push_id: str
) -> None:
    front.kill("notifier")
    try:
        with NotificationSink() as sink:
            initiator.push(push_id, user_address(ALICE), b"x", app="mms.ua", notify_to=sink.url)
            wait_until(lambda: owed.count(front.store) == 1, 10, "one result owed")
            front.start("notifier")
            assert sink.wait_for(1)[0].push_id == push_id
    finally:
        if not front.parts["notifier"].is_running:
            front.start("notifier")


def test_what_the_api_accepted_but_could_not_hand_over_is_handed_over_by_the_sweeper(
    front: Stack, core: SipPeer, push_id: str
) -> None:
    """The api died between storing the push and putting it into the outbox."""
    to = "sip:left@home1.example"
    known = front.known(front.submit(to, push_id=push_id))
    front.result(known.push.ref)
    ref = push_ref("trusted", f"left-{push_id}")
    late = known.push._replace(ref=ref, accepted_ms=clock.now_ms() - 60_000)
    pending = known.results[0]._replace(state="pending", code="1001")
    event = Event(late.accepted_ms, -1, "accepted", "by an api that died")
    submission = pushes.Submission(late, known.recipients, (pending,), b"left behind", event)
    assert pushes.accept_all(front.store, [submission]) == [True]

    assert front.result(ref).state == "delivered"
    assert [message.body for message in core.pushes(to)].count(b"left behind") == 1
    assert "handed-over" in [event.name for event in front.known(ref).events]


def test_deliver_before_ends_the_tries_as_expired(
    initiator: PushInitiator, sink: NotificationSink, core: SipPeer, push_id: str
) -> None:
    core.policy = lambda _: Says(480)
    before = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")

    answer = initiator.push(
        push_id, ALICE, b"x", app="slow.ua", notify_to=sink.url, deliver_before_timestamp=before
    )

    assert answer.code == "1001"
    told = sink.wait_for(1)
    assert (told[0].message_state, told[0].code) == ("expired", "5028")
    tried = len(core.pushes(ALICE))
    assert tried >= 2
    assert all(message.header("Expires") for message in core.pushes(ALICE))


def test_status_is_told_for_each_address_and_only_to_its_initiator(
    front: Stack, initiator: PushInitiator, core: SipPeer, push_id: str
) -> None:
    mine, strange = user_address(ALICE), user_address("sip:stranger@home1.example")
    initiator.push(push_id, mine, b"x", app="mms.ua")
    front.result(push_ref("trusted", push_id))

    assert initiator.status(push_id, mine).find("statusquery-result")["code"] == "1000"
    assert initiator.status(push_id, strange).find("statusquery-result")["code"] == "2003"
    assert initiator.status("never@pi").find("statusquery-result")["code"] == "2004"
    with PushInitiator(front.http, "untrusted", PASSWORD) as other:
        assert other.status(push_id).find("statusquery-result")["code"] == "2004"
