"""
scheduled_due: deliveries a second of pushes that are all due in the same second; waiting_million: the rate
of other pushes while a million wait for their deliver-after. Both against the rate of pushes that just leave.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

from bench import full_size, message_push, sipp_rate
from bench.cpu import middle
from bench.figure import Figure, compared
from bench.message_push import Drained
from omapush import clock
from omapush.store import outbox

DUE = int(os.environ.get("OMAPUSH_BENCH_DUE", "100000"))
"Pushes that are due in the same second, and that the other side has in its outbox from the start."
WAITING = int(os.environ.get("OMAPUSH_BENCH_WAITING", "1000000"))
"Pushes that wait for a time that does not come while it is measured."
RUNNING = int(os.environ.get("OMAPUSH_BENCH_RUNNING", "60000"))
"Pushes that leave beside those that wait."
_LEAD_MS = 12_000
"Until all is due, on top of one millisecond for each push that is to be stored before that."
_DAY_MS = 86_400_000


def measure_due(folder: Path, rounds: int) -> Figure:
    """Measure pushes that become due together, and as many that are ready from the start."""
    due, ready = [], []
    for number in range(rounds):
        due.append(_all_due(folder / f"due-{number}"))
        ready.append(_drained(folder / f"ready-{number}", DUE, waiting=0).rate)
    return compared("scheduled_due", "MESSAGE/s", f"{DUE:,} that are ready from the start", due, ready)


def measure_waiting(folder: Path, rounds: int) -> Figure:
    """
    Measure the running rate with so many that wait, and without.

    Without is measured before and after each, and the mean of the two counts: it takes two minutes to store a
    million, in which a machine that is shared with others becomes faster or slower.
    """
    with_them: list[Drained] = []
    without = [_drained(folder / "alone-0", RUNNING, waiting=0)]
    for number in range(1, rounds + 1):
        with_them.append(_drained(folder / f"waiting-{number}", RUNNING, waiting=WAITING))
        without.append(_drained(folder / f"alone-{number}", RUNNING, waiting=0))
    return compared(
        "waiting_million",
        "MESSAGE/s",
        f"nothing waiting, not {WAITING:,}",
        [one.rate for one in with_them],
        [(before.rate + after.rate) / 2 for before, after in pairwise(without)],
        cpu_us={
            "with them": middle([one.cpu_us for one in with_them]),
            "without": middle([one.cpu_us for one in without]),
        },
    )


def _drained(folder: Path, number: int, *, waiting: int) -> Drained:
    """Have a full outbox leave, `waiting` more being scheduled for tomorrow."""
    stack = full_size.stack(folder, ("redis", "sip", "notifier"))
    with sipp_rate.receiver(folder, stack.core_port) as receiver:
        try:
            stack.start("redis")
            tomorrow_ms = clock.now_ms() + _DAY_MS
            message_push.fill(stack, range(number, number + waiting), after_ms=tomorrow_ms)
            message_push.fill(stack, range(number))
            full_size.rewritten(stack)
            full_size.settled(stack)
            stack.start("notifier")
            stack.start("sip")
            drained = message_push.drained(stack, number, {"SIPp": receiver.pid}, waiting=waiting)
            assert outbox.depth(stack.store).later == waiting
            return drained
        finally:
            stack.__exit__(None, None, None)


def _all_due(folder: Path) -> float:
    """Deliveries a second from the second in which all is due to the last stored result."""
    stack = full_size.stack(folder, ("redis", "sip", "notifier"))
    with sipp_rate.receiver(folder, stack.core_port):
        try:
            stack.start("redis")
            due_ms = clock.now_ms() + _LEAD_MS + DUE
            message_push.fill(stack, range(DUE), after_ms=due_ms)
            stack.start("notifier")
            stack.start("sip")
            process = stack.parts["sip"]
            assert outbox.depth(stack.store).later == DUE, "filling took too long"
            process.wait_until(lambda: clock.now_ms() >= due_ms, DUE / 1_000 + 60, "the time")
            started = time.monotonic()
            process.wait_until(lambda: outbox.depth(stack.store).all == 0, 300, "an empty outbox")
            return DUE / (time.monotonic() - started)
        finally:
            stack.__exit__(None, None, None)
