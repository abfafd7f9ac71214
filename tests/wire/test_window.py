"""Requests in flight are bounded, and silence ends as the 408 row."""

import pytest

from omapush.store import outbox
from tests.conftest import MakeStack
from tests.harness.sip_peer import OK, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until

WINDOW = 10


def test_no_more_than_the_window_is_in_flight_and_answers_open_it_again(make_stack: MakeStack) -> None:
    stack = make_stack({"sip": {"senders": 1, "window": WINDOW}}, parts=("redis", "sip"))
    with SipPeer(stack.core_port, policy=lambda _: None) as core:
        ref = stack.submit([f"sip:user{i}@home1.example" for i in range(5 * WINDOW)])
        wait_until(lambda: core.arrived > 2 * WINDOW, 10, "all of the window repeated, half a second later")
        assert len(core.requests) == WINDOW
        assert outbox.depth(stack.store).taken == WINDOW

        core.policy = lambda _: OK
        assert {result.state for result in stack.finished(ref).results} == {"delivered"}
        assert len(core.requests) == 5 * WINDOW


@pytest.mark.req("PSA-MSG-1")
@pytest.mark.timeout(60)
def test_a_silent_core_is_a_timeout_after_the_transactions_32_seconds(stack: Stack) -> None:
    """Nobody answered: 408 of our own, 5028 to the initiator (Appendix Q row 4, RFC 3261 timer F)."""
    with SipPeer(stack.core_port, policy=lambda _: None) as core:
        ref = stack.submit("sip:silent@home1.example", app="once.ua")
        result = stack.result(ref, deadline_s=45)

        assert (result.state, result.code, result.sip_code, result.attempts) == ("timeout", "5028", 408, 1)
        assert "no response" in result.desc
        assert core.arrived > len(core.pushes("sip:silent@home1.example")) == 1
