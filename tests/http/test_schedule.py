"""deliver-after and deliver-before on the wire, priority, and what the answer to a submission tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from omapush import clock
from omapush.push.values import push_ref
from omapush.store import outbox, pushes
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.http.test_command import omapush
from tests.http.test_taking_back import final, scheduled

ALICE = user_address("sip:alice@scheduled.example")


def at(seconds: float) -> str:
    """Whole seconds of a time from now, rounded up."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds + 0.999):%Y-%m-%dT%H:%M:%SZ}"


def ms(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000)


def test_a_push_leaves_at_its_deliver_after_and_not_before(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    when = at(1)
    answer = initiator.push(push_id, ALICE, b"in time", app="mms.ua", deliver_after_timestamp=when)
    assert answer.code == "1001"
    assert initiator.status(push_id).code == "1001"
    shown = omapush(front, "push", "explain", push_id).stdout
    assert "It is scheduled" in shown or clock.now_ms() >= ms(when)

    assert final(front, push_id) == [("delivered", "1000")]
    known = front.known(push_ref("trusted", push_id))
    (left,) = [event for event in known.events if event.name == "sent"]
    assert left.at_ms >= ms(when)
    assert [request.body for request in core.pushes("sip:alice@scheduled.example")] == [b"in time"]


def test_a_deliver_after_that_is_past_means_at_once(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    answer = initiator.push(
        push_id, ALICE, b"now", app="mms.ua", deliver_after_timestamp="2001-01-01T00:00:00Z"
    )
    assert answer.code == "1001"
    assert final(front, push_id) == [("delivered", "1000")]


def test_a_scheduled_push_lives_from_its_deliver_after_on(
    front: Stack, initiator: PushInitiator, push_id: str
) -> None:
    assert initiator.push(push_id, ALICE, b"x", app="mms.ua", **scheduled()).code == "1001"
    push = front.known(push_ref("trusted", push_id)).push
    assert push.deliver_before_ms == push.deliver_after_ms + front.config.delivery.lifetime_s * 1000
    initiator.cancel(push_id)


@pytest.mark.parametrize("before_s", [10, 20])
def test_a_time_that_ends_before_it_begins_is_2000(
    front: Stack, initiator: PushInitiator, push_id: str, before_s: int
) -> None:
    after = at(20)
    before = after if before_s == 20 else at(before_s)
    wrong: dict[str, Any] = {"deliver_after_timestamp": after, "deliver_before_timestamp": before}
    answer = initiator.push(push_id, ALICE, b"x", app="mms.ua", **wrong)
    assert answer.find("badmessage-response")["code"] == "2000"
    assert "deliver-before-timestamp" in answer.find("badmessage-response")["desc"]
    assert initiator.status(push_id).code == "2004"


def test_a_push_whose_time_is_over_while_it_waits_for_another_is_expired_and_never_sent(
    front: Stack, core: SipPeer, initiator: PushInitiator, sink: NotificationSink, push_id: str
) -> None:
    """It waits behind a push that gets no answer."""
    is_open = True
    core.policy = lambda _: None if is_open else OK
    aor = "sip:slow@scheduled.example"
    first = f"{push_id}-first"
    assert initiator.push(first, user_address(aor), b"first", app="mms.ua").code == "1001"
    core.wait_for_push(aor)
    late: dict[str, Any] = {"deliver_before_timestamp": at(1)}
    assert (
        initiator.push(push_id, user_address(aor), b"late", app="mms.ua", notify_to=sink.url, **late).code
        == "1001"
    )

    assert final(front, push_id) == [("expired", "4000")]
    assert [(one.message_state, one.code) for one in sink.wait_for(1)] == [("expired", "4000")]
    is_open = False
    assert final(front, first) == [("delivered", "1000")]
    assert {request.body for request in core.pushes(aor)} == {b"first"}


def test_of_what_waits_for_one_user_the_urgent_leaves_first(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    is_open = True
    core.policy = lambda _: None if is_open else OK
    aor = "sip:queue@scheduled.example"
    assert initiator.push(push_id, user_address(aor), b"first", app="mms.ua").code == "1001"
    core.wait_for_push(aor)
    names = [f"{priority} {number}" for priority in ("low", "high") for number in range(3)]
    for name in names:
        answer = initiator.push(
            f"{push_id} {name}",
            user_address(aor),
            name.encode(),
            app="mms.ua",
            qos={"priority": name.partition(" ")[0]},
        )
        assert answer.code == "1001"
    wait_until(lambda: outbox.depth(front.store).waiting == len(names), 10, "six behind the first")
    is_open = False
    for name in names:
        assert final(front, f"{push_id} {name}") == [("delivered", "1000")]
    went = list(dict.fromkeys(request.body.decode() for request in core.pushes(aor)))[1:]
    assert sorted(went) == sorted(names)
    for priority in ("low", "high"):
        of_one = [name for name in went if name.startswith(priority)]
        assert of_one == sorted(of_one)
    # One in sixteen is of the lower priority: hardly ever are three of them first.
    assert went.index("high 0") < went.index("low 2")


def test_progress_notes_tell_each_step_so_far(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    old = f"{push_id}-old"
    assert initiator.push(old, ALICE, b"old", app="mms.ua", **scheduled()).code == "1001"
    asked: dict[str, Any] = {
        "progress_notes_requested": "true",
        "replace_push_id": old,
        **scheduled(),
    }
    addresses = [ALICE, "WAPPUSH=192.0.2.7/TYPE=IPv4@ppg"]
    answer = initiator.push(push_id, addresses, b"new", app="mms.ua", **asked)
    assert answer.code == "1001"
    notes = [dict(note.attrib) for note in ElementTree.fromstring(answer.raw_xml).iter("progress-note")]
    assert [note["stage"] for note in notes] == ["pending", "pending", "pending", "undeliverable"]
    for note, word in zip(notes, ("stored", "deliver-after", "replaces", "1 of 2"), strict=True):
        assert word in note["note"]
        assert note["time"].endswith("Z")
    initiator.cancel(push_id)

    plain = initiator.push(f"{push_id}-plain", ALICE, b"x", app="mms.ua", **scheduled())
    assert plain.find("progress-note") == {}
    initiator.cancel(f"{push_id}-plain")


def test_a_delivery_that_must_be_confirmed_is_not_by_a_relay(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    core.policy = lambda _: Says(202)
    methods = ("confirmed", "notspecified", "preferconfirmed", "unconfirmed")
    for method in methods:
        to = user_address(f"sip:{method}@relayed.example")
        qos = {"delivery-method": method}
        named = f"{push_id}-{method}"
        before: dict[str, Any] = {"deliver_before_timestamp": at(2)}
        assert initiator.push(named, to, b"x", app="mms.ua", qos=qos, **before).code == "1001"
    ends = {method: final(front, f"{push_id}-{method}")[0] for method in methods}
    assert ends == {
        "confirmed": ("unknown", "4000"),
        "notspecified": ("unknown", "4000"),
        "preferconfirmed": ("delivered", "1000"),
        "unconfirmed": ("delivered", "1000"),
    }
    for method in methods:
        used = initiator.status(f"{push_id}-{method}").find("quality-of-service")
        assert used == {"delivery-method": "unconfirmed"}


def test_a_device_that_says_200_confirms_whatever_was_asked(
    front: Stack, core: SipPeer, initiator: PushInitiator, sink: NotificationSink, push_id: str
) -> None:
    for method in ("confirmed", "notspecified", "preferconfirmed", "unconfirmed"):
        to = user_address(f"sip:{method}@device.example")
        qos = {"delivery-method": method}
        named = f"{push_id}-{method}"
        answer = initiator.push(named, to, b"x", app="mms.ua", qos=qos, notify_to=sink.url)
        assert answer.code == "1001"
        assert final(front, named) == [("delivered", "1000")]
    for told in sink.wait_for(4):
        assert b'delivery-method="confirmed"' in told.raw


def test_results_that_are_final_are_kept_and_told_though_the_notifier_starts_again(
    front: Stack, core: SipPeer, initiator: PushInitiator, sink: NotificationSink, push_id: str
) -> None:
    sink.fail_next(*([500] * 3))
    addresses = [user_address(f"sip:n{number}@told.example") for number in range(5)]
    assert initiator.push(push_id, addresses, b"x", app="mms.ua", notify_to=sink.url).code == "1001"
    assert final(front, push_id) == [("delivered", "1000")] * 5
    front.restart("notifier")
    told = sink.wait_for(5, deadline_s=40)  # what the old process had borrowed comes back
    assert sorted(one.address for one in told) == sorted(addresses)
    known = pushes.read(front.store, push_ref("trusted", push_id))
    assert known is not None
    wait_until(
        lambda: sum(event.name == "notified" for event in front.known(known.push.ref).events) == 5,
        40,  # the old process may have ended between an answer and its note
        "all noted",
    )
    assert len([one for one in sink.received if one.answered == 202]) == 5
