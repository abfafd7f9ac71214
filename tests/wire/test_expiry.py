"""Deliver-before is kept, also while nobody is there to send."""

from tests.conftest import MakeStack
from tests.fakes.initiator import NotificationSink, PushInitiator
from tests.harness.sip_peer import OK, SipPeer
from tests.harness.stack import PASSWORD
from tests.harness.wait import wait_until

AOR = "sip:late@home1.example"


def test_a_push_expires_and_is_told_while_kamailio_is_down(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.kill("sip")
    with (
        SipPeer(stack.core_port) as core,
        NotificationSink() as sink,
        PushInitiator(stack.http, "trusted", PASSWORD) as initiator,
    ):
        assert initiator.push("told@pi", AOR, b"x", app="mms.ua", notify_to=sink.url).code == "1001"
        ref = stack.submit(AOR, lifetime_ms=500)

        result = stack.result(ref)
        assert (result.state, result.code, result.attempts) == ("expired", "4000", 0)

        stack.start("sip")
        assert sink.wait_for(1)[0].message_state == "delivered"
        assert [message.body for message in core.pushes(AOR)] == [b"x"]


def test_a_push_in_flight_at_its_deliver_before_is_judged_by_its_answer(make_stack: MakeStack) -> None:
    stack = make_stack(parts=("redis", "sip", "notifier"))
    with SipPeer(stack.core_port, policy=lambda _: None) as core:
        ref = stack.submit(AOR, lifetime_ms=300)
        core.wait_for_push(AOR)
        wait_until(lambda: core.arrived > 1, 5, "Kamailio repeating it, half a second later")
        assert stack.known(ref).results[0].state == "pending"

        core.policy = lambda _: OK
        assert stack.result(ref).state == "delivered"
