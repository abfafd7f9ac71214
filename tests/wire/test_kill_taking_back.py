"""`kill -9` of each process amid pushes that are scheduled, cancelled and replaced: promises are kept."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from omapush import clock
from omapush.push.values import push_ref
from tests.conftest import MakeStack
from tests.fakes.initiator import PapAnswer, PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PARTS, PASSWORD, Stack
from tests.harness.wait import wait_until
from tests.wire.test_kill import SlowHandsets, everything_is_done

EACH = 60
"Pushes that are scheduled, that are cancelled, and that are replaced."
USERS = 20
LEAD_S = 3.0
KILL_AFTER = EACH


class Provider:
    """A careful one: it asks again until it has an answer."""

    def __init__(self, stack: Stack, stop: threading.Event) -> None:
        self._stack = stack
        self._stop = stop
        self.when = datetime.now(UTC) + timedelta(seconds=LEAD_S)
        self.answered = 0
        self.cancelled: dict[str, str] = {}
        "Push-id to the code of its cancel."

    def run(self, first: int) -> None:
        """Submit, cancel and replace every third."""
        with PushInitiator(self._stack.http, "trusted", PASSWORD) as initiator:
            for number in range(first, EACH, 3):
                self.push(initiator, f"scheduled-{number}", number)
                self.push(initiator, f"cancelled-{number}", number)
                self.push(initiator, f"old-{number}", number)
                self.cancel(initiator, f"cancelled-{number}")
                self.push(initiator, f"new-{number}", number, replace_push_id=f"old-{number}")

    def push(self, initiator: PushInitiator, push_id: str, number: int, **named: Any) -> None:
        named["deliver_after_timestamp"] = f"{self.when:%Y-%m-%dT%H:%M:%SZ}"
        to = user_address(f"sip:u{number % USERS}@home1.example")
        self.until(
            ("1001", "2007"), lambda: initiator.push(push_id, to, push_id.encode(), app="mms.ua", **named)
        )

    def cancel(self, initiator: PushInitiator, push_id: str) -> None:
        answer = self.until(("1000", "2008"), lambda: initiator.cancel(push_id))
        self.cancelled[push_id] = answer.code if answer else ""

    def until(self, codes: tuple[str, ...], ask: Callable[[], PapAnswer]) -> PapAnswer | None:
        answers: list[PapAnswer] = []

        def is_answered() -> bool:
            if self._stop.is_set():
                return True
            try:
                answers.append(ask())
            except httpx.HTTPError:
                return False
            return answers[-1].http_status == 202 and answers[-1].code in codes

        wait_until(is_answered, 60, "an answer")
        self.answered += 1
        return answers[-1] if answers else None


@pytest.mark.timeout(120)
@pytest.mark.parametrize("victim", PARTS)
def test_what_was_promised_of_schedule_cancel_and_replace_outlives_a_killed_process(
    make_stack: MakeStack, victim: str
) -> None:
    stack = make_stack({"delivery": {"transaction_s": 5}})
    stop = threading.Event()
    with SipPeer(stack.core_port, policy=SlowHandsets()) as core, ThreadPoolExecutor(3) as threads:
        provider = Provider(stack, stop)
        try:
            work = [threads.submit(partial(provider.run, first)) for first in range(3)]
            wait_until(lambda: provider.answered >= KILL_AFTER, 60, "enough under way")
            stack.restart(victim)
            for one in work:
                one.result(timeout=90)
            wait_until(lambda: everything_is_done(stack), 60, "the end of everything")
        finally:
            stop.set()
        sent = {request.body.decode() for request in core.requests}
    due_ms = int(provider.when.timestamp()) * 1000

    ends: dict[str, str] = {}
    for kind in ("scheduled", "cancelled", "old", "new"):
        for number in range(EACH):
            known = stack.known(push_ref("trusted", f"{kind}-{number}"))
            ends[f"{kind}-{number}"] = known.results[0].state
            assert all(event.at_ms >= due_ms for event in known.events if event.name == "sent")
    assert clock.now_ms() >= due_ms
    assert set(ends.values()) <= {"delivered", "cancelled"}
    assert {ends[f"{kind}-{number}"] for kind in ("scheduled", "new") for number in range(EACH)} == {
        "delivered"
    }
    kept = {push_id for push_id, code in provider.cancelled.items() if code == "1000"}
    assert len(kept) > EACH // 2
    assert {ends[push_id] for push_id in kept} == {"cancelled"}
    assert sent.isdisjoint(kept)
    if victim in ("api", "notifier"):  # else what was at a sender may have been lost, and is not sent again
        assert sent.isdisjoint(push_id for push_id, state in ends.items() if state == "cancelled")
    assert sent >= {push_id for push_id, state in ends.items() if state == "delivered"}
