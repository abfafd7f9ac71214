"""Devices that are registered and do not answer, and an S-CSCF that does not: nobody else waits for them."""

from collections.abc import Iterator

import pytest

from omapush.store import outbox
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText, reply
from tests.harness.session_device import SESSIONS, Device, employ
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.requests import register

WINDOW = 10
SILENT = 25
"More than two windows: they leave within three times the time for which a request is young."


def _policy(request: SipText) -> Says | None:
    return None if ":quiet" in request.start_line else OK


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One sender with small windows, and no notifier that sweeps behind it."""
    settings: Settings = {
        "sip": {"senders": 1, "window": WINDOW, "window_per_hop": WINDOW},
        "subscriptions": {"window": WINDOW},
    }
    with Stack(tmp_path_factory.mktemp("narrow"), settings, ("redis", "sip")) as running:
        yield running


@pytest.fixture
def core(narrow: Stack) -> Iterator[SipPeer]:
    with SipPeer(narrow.core_port, policy=_policy) as peer:
        yield peer


def test_pushes_to_others_leave_while_more_than_a_window_of_devices_are_silent(
    narrow: Stack, core: SipPeer
) -> None:
    users = [name for i in range(SILENT) for name in (f"quiet{i}", f"live{i}")]
    ref = narrow.submit([f"sip:{name}@home1.example" for name in users])

    def delivered() -> int:
        return sum(result.state == "delivered" for result in narrow.known(ref).results)

    wait_until(lambda: delivered() == SILENT, 20, lambda: f"all others delivered, not {delivered()}")
    asked = {one.start_line.split()[1] for one in core.requests if ":quiet" in one.start_line}
    assert len(asked) == SILENT

    def taken() -> int:
        return outbox.depth(narrow.store).taken

    wait_until(lambda: taken() == SILENT, 10, lambda: f"the silent ones alone, not {taken()}")
    assert {result.state for result in narrow.known(ref).results} == {"delivered", "pending"}


def test_subscribers_are_told_while_more_than_a_window_of_others_are_silent(
    narrow: Stack, core: SipPeer
) -> None:
    live: list[Subscriber] = []
    for i in range(SILENT):
        for name in ("quiet", "live"):
            device = Subscriber(narrow, core, aor=f"sip:{name}-subscriber{i}@home1.example")
            device.begin(**wants("mms.ua"))
            live += [device] if name == "live" else []

    for device in live:
        [told] = device.notifies(1, deadline_s=20)
        assert told.header("Subscription-State").startswith("active")
    told_silent = {one.header("Call-ID") for one in core.requests if ":quiet" in one.start_line}
    assert len(told_silent) > WINDOW


def test_invites_that_ring_for_ever_end_in_time_and_others_get_their_turn(make_stack: MakeStack) -> None:
    """With a window full of them, nothing else that was due about sessions was done: no CANCEL either."""
    sessions = {**SESSIONS["sessions"], "window": 3, "answer_s": 2}
    sip = {**SESSIONS["sip"], "senders": 1}
    stack = make_stack({**SESSIONS, "sip": sip, "sessions": sessions}, parts=("redis", "sip", "notifier"))
    employ(stack)
    with SipPeer(stack.core_port) as core:
        device = Device(stack, core)
        ringing: dict[str, SipText] = {}

        def policy(one: SipText) -> Says | None:
            if ":quiet" not in one.header("To"):
                return device.policy(one)
            call_id = one.header("Call-ID")
            if one.method == "INVITE":
                ringing[call_id] = one
                return Says(180, "Ringing")
            if one.method == "CANCEL":
                core.send(reply(ringing[call_id], 487, "Request Terminated", (), "quiet"), stack.sip)
            return OK

        core.policy = policy
        quiet = [f"sip:quiet{i}@home1.example" for i in range(5)]
        refs = [stack.submit(aor, b"x" * 3_000, app="large-once.ua") for aor in quiet]
        wait_until(lambda: len(ringing) == 2, 10, "as many as one next hop may have")
        stack.submit(device.aor, b"x" * 3_000, app="large-once.ua")

        assert device.wait("INVITE", deadline_s=20)
        assert {stack.result(ref, deadline_s=20).state for ref in refs} == {"timeout"}
        cancelled = [one.header("Call-ID") for one in core.requests if one.method == "CANCEL"]
        assert sorted(cancelled) == sorted(ringing)
        assert len(ringing) == len(quiet)


def test_users_of_others_are_watched_while_one_s_cscf_answers_no_subscribe(make_stack: MakeStack) -> None:
    """All that were due went to it, held the whole window for 32 s, and were due again."""
    settings: Settings = {"sip": {"senders": 1}, "registration": {"watch": True, "window": WINDOW}}
    stack = make_stack(settings, ("redis", "sip"))
    with SipPeer(stack.core_port) as core, SipPeer(policy=lambda _: None) as silent:
        for i in range(SILENT):
            silent.ask(register(f"sip:unwatched{i}@home1.example", silent), stack.sip)
        wait_until(lambda: len(silent.requests) >= WINDOW // 2, 10, "SUBSCRIBEs to the silent one")
        for i in range(WINDOW):
            aor = f"sip:watched{i}@home1.example"
            assert core.ask(register(aor, core), stack.sip).status == 200
            assert [one.method for one in core.wait_for_push(aor)] == ["SUBSCRIBE"]

        assert len(silent.requests) == WINDOW // 2
