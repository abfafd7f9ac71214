"""Redis goes away and comes back: users' traffic does not notice, ours waits, nothing is restarted."""

import os
import signal
import threading

import pytest

from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import isc_route, register, request

AOR = "sip:patient@home1.example"


def relayed(stack: Stack, core: SipPeer) -> int:
    sent = request("MESSAGE", "sip:other@ims.lab", core.address, [("Route", isc_route(stack.sip, core))])
    return core.ask(sent, stack.sip).status


@pytest.mark.req("PSA-REG-1", "PSA-GEN-2")
def test_without_redis_traffic_is_relayed_and_registers_get_503_until_it_is_back(
    make_stack: MakeStack,
) -> None:
    stack = make_stack(parts=("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        assert core.ask(register(AOR, core), stack.sip).status == 200
        stack.kill("redis")

        for _ in range(3):
            refused = core.ask(register(AOR, core), stack.sip)
            assert refused.status == 503
            assert int(refused.header("Retry-After")) > 0
            assert refused.all("Expires") == []
            assert relayed(stack, core) == 200
            assert (
                core.ask(request("OPTIONS", "sip:psa@home1.example", core.address), stack.sip).status == 200
            )

        stack.start("redis")
        wait_until(lambda: core.ask(register(AOR, core), stack.sip).status == 200, 10, "a REGISTER taken")
        ref = stack.submit(AOR)
        assert stack.result(ref).state == "delivered"
    assert "Traceback" not in stack.parts["sip"].log_text()


def test_a_redis_that_hangs_is_like_one_that_is_away(make_stack: MakeStack) -> None:
    stack = make_stack(parts=("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        assert core.ask(register(AOR, core), stack.sip).status == 200
        os.kill(stack.parts["redis"].pid, signal.SIGSTOP)
        try:
            assert core.ask(register(AOR, core), stack.sip).status == 503
            assert relayed(stack, core) == 200
        finally:
            os.kill(stack.parts["redis"].pid, signal.SIGCONT)
        wait_until(lambda: core.ask(register(AOR, core), stack.sip).status == 200, 10, "a REGISTER taken")


def test_a_redis_that_comes_back_empty_is_given_its_functions_again(make_stack: MakeStack) -> None:
    stack = make_stack(parts=("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        stack.db.flushall()
        stack.db.function_flush()

        assert core.ask(register(AOR, core), stack.sip).status == 200
        assert stack.result(stack.submit(AOR)).state == "delivered"


def test_results_that_came_while_redis_was_away_are_stored_when_it_is_back(make_stack: MakeStack) -> None:
    """The completer keeps what Redis did not take; nothing is sent twice for it."""
    stack = make_stack(parts=("redis", "sip"))
    with SipPeer(stack.core_port, policy=lambda _: None) as core:
        ref = stack.submit(AOR)
        core.wait_for_push(AOR)
        stack.kill("redis")
        answered = threading.Event()

        def policy(_: SipText) -> Says:
            answered.set()
            return OK

        core.policy = policy
        assert answered.wait(10), "Kamailio never repeated the MESSAGE"
        stack.start("redis")

        assert stack.result(ref).state == "delivered"
        assert len(core.pushes(AOR)) == 1
