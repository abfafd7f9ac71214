"""Requests in flight are bounded, and silence ends as the 408 row."""

from collections.abc import Iterator

import pytest

from omapush.store import outbox
from tests.conftest import MakeStack
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register

WINDOW = 10
MANY = 4_000


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One sender with a small window, and no notifier that sweeps behind it."""
    retries = {"attempts": 3, "first_s": 0.1, "longest_s": 0.2}
    settings: Settings = {
        "sip": {"senders": 1, "window": WINDOW},
        'application."again.ua"': {"retry": retries},
    }
    with Stack(tmp_path_factory.mktemp("narrow"), settings, ("redis", "sip")) as running:
        yield running


def test_no_more_than_the_window_is_in_flight_and_answers_open_it_again(narrow: Stack) -> None:
    with SipPeer(narrow.core_port, policy=lambda _: None) as core:
        ref = narrow.submit([f"sip:user{i}@home1.example" for i in range(5 * WINDOW)])
        wait_until(lambda: core.arrived > 2 * WINDOW, 10, "all of the window repeated, half a second later")
        assert len(core.requests) == WINDOW
        assert outbox.depth(narrow.store).taken == WINDOW

        core.policy = lambda _: OK
        assert {result.state for result in narrow.finished(ref).results} == {"delivered"}
        assert len(core.requests) == 5 * WINDOW


def test_a_sender_sees_by_itself_that_the_time_of_the_next_try_has_come(narrow: Stack) -> None:
    answers = iter([Says(500, "Not Now"), Says(500, "Not Now")])
    with SipPeer(narrow.core_port, policy=lambda _: next(answers, OK)) as core:
        result = narrow.result(narrow.submit("sip:again@home1.example", app="again.ua"))

        assert (result.state, result.attempts) == ("delivered", 3)
        assert len(core.requests) == 3


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


def test_a_silent_next_hop_leaves_room_for_the_others(make_stack: MakeStack) -> None:
    """Its window is full, the rest of its deliveries wait, and nobody else's do."""
    sizes = {"senders": 1, "window": 2 * WINDOW, "window_per_hop": WINDOW}
    stack = make_stack({"sip": sizes}, parts=("redis", "sip", "notifier"))
    silent_users = [f"sip:silent{i}@home1.example" for i in range(4 * WINDOW)]
    with (
        SipPeer(stack.core_port),
        SipPeer(policy=lambda _: None) as silent,
    ):
        for aor in silent_users:
            assert silent.ask(register(aor, silent), stack.sip).status == 200
        stuck = stack.submit(silent_users)
        wait_until(lambda: len(silent.requests) == WINDOW, 10, lambda: f"full window: {len(silent.requests)}")

        live = stack.submit([f"sip:live{i}@home1.example" for i in range(5 * WINDOW)])
        assert {result.state for result in stack.finished(live).results} == {"delivered"}
        assert len(silent.requests) == WINDOW

        silent.policy = lambda _: OK
        assert {result.state for result in stack.finished(stuck, deadline_s=30).results} == {"delivered"}
        assert {result.attempts for result in stack.known(stuck).results} == {1}
        assert len(silent.requests) == len(silent_users)


def test_thousands_that_wait_for_a_silent_next_hop_do_not_stand_before_the_others(
    make_stack: MakeStack,
) -> None:
    """They came back faster than a few now and then could be looked at, and nobody else had a turn."""
    aor = "sip:behind-many@home1.example"
    sizes = {"senders": 1, "window": 2 * WINDOW, "window_per_hop": WINDOW}
    stack = make_stack({"sip": sizes}, ("redis", "sip"))
    with SipPeer(stack.core_port, policy=lambda _: None), SipPeer() as other:
        assert other.ask(register(aor, other), stack.sip).status == 200
        for part in range(0, MANY, 1_000):
            stack.submit([f"sip:many{i}@home1.example" for i in range(part, part + 1_000)])

        def all_wait() -> bool:
            depth = outbox.depth(stack.store)
            return depth.ready == 0 and depth.later >= MANY - WINDOW

        wait_until(all_wait, 30, lambda: f"nothing that is ready: {outbox.depth(stack.store)}")
        assert stack.result(stack.submit(aor)).state == "delivered"
