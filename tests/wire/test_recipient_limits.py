"""An application that limits its pushes to one user: they wait, in order, and hold up nobody else."""

from tests.conftest import MakeStack
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings

ALICE, BOB = "sip:alice@home1.example", "sip:bob@home1.example"
SETTINGS: Settings = {'application."few.ua"': {"recipient_rate": 60.0, "recipient_burst": 2}}
PUSHES = 5


def test_pushes_beyond_the_limit_wait_for_their_turn_and_other_applications_and_users_do_not(
    make_stack: MakeStack,
) -> None:
    stack = make_stack(SETTINGS, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        few = [stack.submit(ALICE, f"{n}".encode(), app="few.ua") for n in range(PUSHES)]
        others = [stack.submit(ALICE, b"other", app="mms.ua"), stack.submit(BOB, b"bob", app="few.ua")]
        known = [stack.finished(ref) for ref in others]
        assert {one.results[0].state for one in known} == {"delivered"}
        assert {event.name for one in known for event in one.events} == {"accepted", "sent", "final"}

        done = [stack.finished(ref, deadline_s=20) for ref in few]
        assert {one.results[0].state for one in done} == {"delivered"}
        assert {one.results[0].attempts for one in done} == {1}
        mine = [message.body for message in core.pushes(ALICE) if message.body != b"other"]
        assert mine == [f"{n}".encode() for n in range(PUSHES)]

        sent = [event.at_ms for one in done for event in one.events if event.name == "sent"]
        for first in range(PUSHES):
            for last in range(first, PUSHES):
                assert last - first + 1 <= 2 + (sent[last] - sent[first] + 20) / 1_000 + 1
        held = [event.text for event in done[-1].events if event.name == "held"]
        assert len(held) == 1
        assert "limit of 60 pushes a minute" in held[0]
        last_other = max(event.at_ms for one in known for event in one.events)
        assert last_other < sent[-1], "another application or user waited for the limit"


def test_a_push_whose_turn_would_come_after_deliver_before_expires_and_is_not_sent(
    make_stack: MakeStack,
) -> None:
    limit = {"recipient_rate": 0.1, "recipient_burst": 1}
    stack = make_stack({'application."few.ua"': limit}, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        assert stack.result(stack.submit(ALICE, b"first", app="few.ua")).state == "delivered"
        late = stack.submit(ALICE, b"late", app="few.ua", lifetime_ms=1_500)

        result = stack.result(late)
        assert (result.state, result.sip_code) == ("expired", 0)
        assert [message.body for message in core.pushes(ALICE)] == [b"first"]
