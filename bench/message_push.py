"""message_push: deliveries a second from outbox to stored result, against Kamailio's own stateful relay."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from bench import cpu, full_size, sipp_rate
from bench.cpu import CpuTime
from bench.figure import Figure, compared
from bench.native import Native
from bench.stored_users import User
from omapush import clock
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import Event, Push, Recipient, Result, push_ref
from omapush.store import keys, outbox, pushes
from omapush.store.client import ask_all
from omapush.store.pushes import Submission
from tests.harness.ports import free_port
from tests.harness.stack import Settings, Stack

DELIVERIES = int(os.environ.get("OMAPUSH_BENCH_DELIVERIES", "60000"))
CONTENT = b"1234567890" * 6
_BATCH = 500
_WARM = 0.1
"Part of the deliveries that is done before the clock starts: both senders have their shards by then."
_POLL_S = 0.025
"Asking more often would take a processor's time from what is measured, which the other side keeps."
_LASTS_S = 6.0
"For how long the native side has to carry its rate, as ours does 60,000 deliveries."


class Drained(NamedTuple):
    """How an outbox became empty."""

    rate: float
    "Deliveries a second."
    cpu_us: dict[str, float]
    "What one delivery cost each kind of process."


def measure(folder: Path, rounds: int) -> Figure:
    """Measure both sides in turn."""
    ours, theirs = [], []
    for number in range(rounds):
        ours.append(from_outbox(folder / f"ours-{number}"))
        theirs.append(native_relay(folder / f"native-{number}"))
    return compared(
        "message_push",
        "MESSAGE/s",
        "native stateful relay",
        [one.rate for one in ours],
        [one.rate for one in theirs],
        cpu_us={
            "ours": cpu.middle([one.cpu_us for one in ours]),
            "native": cpu.middle([one.cpu_us for one in theirs]),
        },
    )


def from_outbox(
    folder: Path,
    beside: Callable[[Stack], AbstractContextManager[None]] = lambda _: nullcontext(),
    *,
    parts: Sequence[str] = ("redis", "sip", "notifier"),
    more: Settings | None = None,
) -> Drained:
    """Return how many deliveries a second leave a full outbox and come back as stored results.

    `beside`: what goes on meanwhile; `parts` may name the api as well, `more` are settings.
    """
    stack = full_size.stack(folder, parts, more)
    with sipp_rate.receiver(folder, stack.core_port) as receiver:
        try:
            stack.start("redis")
            fill(stack, range(DELIVERIES))
            for part in ("notifier", "sip", "api"):
                if part in parts:
                    stack.start(part)
            with beside(stack):
                return drained(stack, DELIVERIES, {"SIPp": receiver.pid})
        finally:
            stack.__exit__(None, None, None)


def drained(stack: Stack, number: int, beside: Mapping[str, int] = {}, *, waiting: int = 0) -> Drained:
    """
    Return how fast `number` deliveries were done, without the first tenth; `waiting` stay.

    `beside`: further processes that they cost something, by kind.
    """

    def left_over() -> int:
        return _in_outbox(stack) - waiting

    process = stack.parts["sip"]
    process.wait_until(lambda: left_over() <= number * (1 - _WARM), 60, "first results", poll_s=_POLL_S)
    leaders = {part: one.pid for part, one in stack.parts.items() if one.is_running}
    spent = CpuTime({**leaders, **beside}, stack.control)
    left, started = left_over(), time.monotonic()
    process.wait_until(lambda: left_over() == 0, 120, "an empty outbox", poll_s=_POLL_S)
    return Drained(left / (time.monotonic() - started), spent.per_one_us(left))


def _in_outbox(stack: Stack) -> int:
    """All deliveries, by what it costs Redis and us least."""
    numbers = range(stack.store.layout.user_shards)
    return sum(ask_all(stack.store, "left over", (("HLEN", keys.outbox(one, "delivery")) for one in numbers)))


def fill(
    stack: Stack, users: Sequence[int], *, wave: int = 0, application: str = "mms.ua", after_ms: int = 0
) -> None:
    """Accept and hand over a push to each of the users; a user has one push in each wave."""
    now = clock.now_ms()
    for start in range(0, len(users), _BATCH):
        batch = [
            _submission(number, wave, application, now, after_ms) for number in users[start : start + _BATCH]
        ]
        pushes.accept_all(stack.store, batch)
        outbox.hand_over(
            stack.store, (pushes.delivery_of(one.push, 0, one.recipients[0], one.content) for one in batch)
        )
        pushes.handed_over(stack.store, (one.push.ref for one in batch))


def _submission(user: int, wave: int, application: str, now: int, after_ms: int) -> Submission:
    push_id, aor = f"{user}/{wave}", User.number(user).aor
    push = Push(
        version=1,
        ref=push_ref("trusted", push_id),
        initiator="trusted",
        push_id=push_id,
        application=application,
        content_type="application/vnd.wap.mms-message",
        content_headers=(),
        size=len(CONTENT),
        priority="medium",
        delivery_method="notspecified",
        notify_url="",
        accepted_ms=now,
        deliver_before_ms=max(now, after_ms) + 3_600_000,
        deadline_given=False,
        source_reference="",
        deliver_after_ms=after_ms,
    )
    recipient = Recipient(aor, aor)
    result = Result("pending", TAKEN_CODE, "queued", "", 0, 0, now)
    return Submission(push, (recipient,), (result,), CONTENT, Event(now, -1, "accepted", "bench"))


def native_relay(folder: Path) -> Drained:
    """
    Return how many of the same MESSAGEs Kamailio's C core relays with transaction state, as long as ours.

    A transaction stays for five seconds after its end: a rate that is carried for less time has not met what
    its removal costs.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        sipp_rate.receiver(folder, port) as receiver,
        Native(folder, "native_relay", full_size.WORKERS) as relay,
    ):
        load = sipp_rate.Load("message", relay.port, {"next_hop": f"127.0.0.1:{port}"})
        rate = sipp_rate.highest_lasting(folder, load, _LASTS_S)
        spent = CpuTime({"relay": relay.pid, "SIPp": receiver.pid})
        half = load._replace(seconds=_LASTS_S)
        assert sipp_rate.reached(folder, half, rate / 2), "half of the highest rate is not reached"
        return Drained(rate, spent.per_one_us(rate / 2 * half.seconds))
