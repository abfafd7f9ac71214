"""Redis goes away and comes back: users' traffic does not notice, ours waits, nothing is restarted."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import isc_route, register, request

AOR = "sip:patient@home1.example"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all tests: what each does to Redis must leave it as good as before."""
    with Stack(tmp_path_factory.mktemp("away"), parts=("redis", "sip")) as running:
        yield running


def relayed(stack: Stack, core: SipPeer) -> int:
    sent = request("MESSAGE", "sip:other@ims.lab", core.address, [("Route", isc_route(stack.sip, core))])
    return core.ask(sent, stack.sip).status


@pytest.mark.req("PSA-REG-1", "PSA-GEN-2")
def test_without_redis_traffic_is_relayed_and_registers_get_503_until_it_is_back(own: Stack) -> None:
    with SipPeer(own.core_port) as core:
        assert core.ask(register(AOR, core), own.sip).status == 200
        own.kill("redis")

        for _ in range(3):
            refused = core.ask(register(AOR, core), own.sip)
            assert refused.status == 503
            assert int(refused.header("Retry-After")) > 0
            assert refused.all("Expires") == []
            assert relayed(own, core) == 200
            assert core.ask(request("OPTIONS", "sip:psa@home1.example", core.address), own.sip).status == 200

        own.start("redis")
        wait_until(lambda: core.ask(register(AOR, core), own.sip).status == 200, 10, "a REGISTER taken")
        ref = own.submit(AOR)
        assert own.result(ref).state == "delivered"
    assert "Traceback" not in own.parts["sip"].log_text()


def test_a_redis_that_hangs_is_like_one_that_is_away(own: Stack) -> None:
    with SipPeer(own.core_port) as core:
        assert core.ask(register(AOR, core), own.sip).status == 200
        os.kill(own.parts["redis"].pid, signal.SIGSTOP)
        try:
            assert core.ask(register(AOR, core), own.sip).status == 503
            assert relayed(own, core) == 200
        finally:
            os.kill(own.parts["redis"].pid, signal.SIGCONT)
        wait_until(lambda: core.ask(register(AOR, core), own.sip).status == 200, 10, "a REGISTER taken")


def test_a_redis_that_comes_back_empty_is_given_its_functions_again(own: Stack) -> None:
    with SipPeer(own.core_port) as core:
        own.db.flushall()
        own.db.function_flush()

        assert core.ask(register(AOR, core), own.sip).status == 200
        assert own.result(own.submit(AOR)).state == "delivered"


def test_results_that_came_while_redis_was_away_are_stored_when_it_is_back(own: Stack) -> None:
    """The completer keeps what Redis did not take; nothing is sent twice for it."""
    with SipPeer(own.core_port, policy=lambda _: None) as core:
        ref = own.submit(AOR)
        core.wait_for_push(AOR)
        own.kill("redis")
        answered = threading.Event()

        def policy(_: SipText) -> Says:
            answered.set()
            return OK

        core.policy = policy
        assert answered.wait(10), "Kamailio never repeated the MESSAGE"
        own.start("redis")

        assert own.result(ref).state == "delivered"
        assert len(core.pushes(AOR)) == 1
