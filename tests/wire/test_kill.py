"""`kill -9` of each process amid 1,200 pushes: nothing is lost, and only what was in flight is repeated."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from omapush.push.values import push_ref
from omapush.store import outbox, owed, pushes
from tests.conftest import MakeStack
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import PARTS, PASSWORD, Stack
from tests.harness.wait import wait_until

PUSHES = 1_200
USERS = 200
CLIENTS = 4
KILL_AFTER = 300
"MESSAGEs that the receiver has seen when the process is killed."
ACCEPTED = ("1001", "2007")
"2007: the answer to the first submission was lost, the push was not."


def submit(stack: Stack, sink: NotificationSink, numbers: range, stop: threading.Event) -> None:
    """Push as a careful initiator does: the same push-id again until an answer says that it is taken."""
    with PushInitiator(stack.http, "trusted", PASSWORD) as initiator:

        def taken(number: int) -> bool:
            if stop.is_set():
                return True
            to = user_address(f"sip:u{number % USERS}@home1.example")
            try:
                answer = initiator.push(f"k{number}", to, b"\0payload", app="mms.ua", notify_to=sink.url)
            except httpx.HTTPError:
                return False
            return answer.http_status == 202 and answer.code in ACCEPTED

        for number in numbers:
            if stop.is_set():
                return
            wait_until(partial(taken, number), 60, f"push {number} taken")


class SlowHandsets:
    """Every fifth push is answered only when Kamailio repeats it, so that many are in flight at any time."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, request: SipText) -> Says | None:
        branch = request.branch
        if int(request.header("Call-ID")[:4], 16) % 5 or branch in self._seen:
            return OK
        self._seen.add(branch)
        return None


def everything_is_done(stack: Stack) -> bool:
    """
    Nothing waits to be handed over, sent or told.

    Looked at twice: what moves on from one queue to another while they are counted may be in neither.
    """
    return all(_nothing_waits(stack) for _ in range(2))


def _nothing_waits(stack: Stack) -> bool:
    idle = outbox.depth(stack.store).all == 0 and owed.count(stack.store) == 0
    return idle and not pushes.not_handed_over(stack.store, 2**53)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", PARTS)
def test_no_accepted_push_is_lost_when_a_process_is_killed(make_stack: MakeStack, victim: str) -> None:
    stack = make_stack({"delivery": {"transaction_s": 5}})
    stop = threading.Event()
    with (
        NotificationSink() as sink,
        SipPeer(stack.core_port, policy=SlowHandsets()) as core,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        try:
            parts = [range(first, PUSHES, CLIENTS) for first in range(CLIENTS)]
            submissions = [clients.submit(submit, stack, sink, part, stop) for part in parts]
            wait_until(lambda: core.arrived >= KILL_AFTER, 30, "enough pushes under way")
            stack.restart(victim)
            for submission in submissions:
                submission.result(timeout=90)
            wait_until(lambda: everything_is_done(stack), 60, lambda: f"the end: {outbox.depth(stack.store)}")
        finally:
            stop.set()

        refs = [push_ref("trusted", f"k{number}") for number in range(PUSHES)]
        states = Counter(stack.known(ref).results[0].state for ref in refs)
        assert states == {"delivered": PUSHES}
        sent = Counter(request.header("Call-ID") for request in core.requests)
        # What a dying notifier began to post and did not end was not taken.
        told = Counter(one.push_id for one in sink.received if one.answered == 202)

    assert {call_id.partition(".")[0] for call_id in sent} == set(refs)
    assert len(told) == PUSHES
    repeated, told_again = sent.total() - len(sent), told.total() - len(told)
    print(f"killed {victim}: {repeated} deliveries and {told_again} notifications repeated")
    in_flight = stack.config.sip.senders * stack.config.sip.window
    assert max(sent.values()) <= 2
    assert repeated <= (in_flight if victim in ("sip", "redis") else 0)
    assert told_again <= (stack.config.notify.concurrency if victim in ("notifier", "redis") else 0)
