"""Everybody's registration, capabilities and subscription end at one moment: who waits, and how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from bench import expiring_users, message_push
from bench.figure import Figure, alone, compared
from bench.million_users import SUBSCRIBED
from bench.redis_pings import Pings, Watched
from omapush import clock
from omapush.push.values import push_ref
from omapush.store import outbox
from tests.harness.stack import Stack

_SHORTEST_S: Final = 20.0
"How long is measured before anything ends, and at the least afterwards."
_LONGEST_S: Final = 1_800.0
_EVERY_S: Final = 0.02
"From one push to the next: few enough that they wait for nothing but what is measured."
_LOOK_S: Final = 0.5
_TRIED: Final = 2_000
"Users whose end is prepared to know how long that takes for all."
_HOUR_MS: Final = 3_600_000
_STRIDE: Final = 997
_WAVES: Final = (100, 101)


class _Seen(NamedTuple):
    """What was seen while something went on."""

    pings: Pings
    push_p99_ms: float
    "From acceptance to the stored result."


def measure(stack: Stack, folder: Path, users: int) -> list[Figure]:
    """Return the figures; Kamailio runs, and somebody answers its MESSAGEs and NOTIFYs."""
    began = time.monotonic()
    quiet = _watch(stack, folder, users, _WAVES[0], lambda: time.monotonic() - began > _SHORTEST_S)
    before = expiring_users.expired(stack.store)
    at_ms = clock.now_ms() + int(_preparing_s(stack, users) * 1000)
    expiring_users.end_at(stack.store, users, SUBSCRIBED, stack.core_port, at_ms)
    assert clock.now_ms() < at_ms, "the end could not be prepared in time: is the machine busy?"
    time.sleep((at_ms - clock.now_ms()) / 1000)
    gone = _Gone(stack, users, before)
    seen = _watch(stack, folder, users, _WAVES[1], gone.is_over)
    against = "the same while nothing ends"

    def both(name: str, now: float, then: float) -> Figure:
        return compared(name, "ms", against, [now], [then])

    told = f"to tell {users:,} subscribers that it is over; registrations were gone after {gone.keys_s:.1f} s"
    return [
        both("million_expiry_stall", seen.pings.longest_ms, quiet.pings.longest_ms),
        both("million_expiry_ping_p99", seen.pings.p99_ms, quiet.pings.p99_ms),
        both("million_expiry_push_p99", seen.push_p99_ms, quiet.push_p99_ms),
        alone("million_expiry_told", "ms", told, [gone.told_s * 1000]),
    ]


def _preparing_s(stack: Stack, users: int) -> float:
    """Return how long it takes to give all records their end, three times over."""
    began = time.monotonic()
    few = min(_TRIED, users)
    expiring_users.end_at(stack.store, few, SUBSCRIBED, stack.core_port, clock.now_ms() + _HOUR_MS)
    return 10.0 + 3 * (time.monotonic() - began) * users / few


class _Gone:
    """Tells when all that was to end has ended."""

    def __init__(self, stack: Stack, users: int, expired_before: int) -> None:
        self._stack = stack
        self._wanted = expired_before + 2 * users
        self._began = self._looked = time.monotonic()
        self.keys_s = self.told_s = 0.0
        "Seconds until registrations and capabilities were removed, and until all subscribers were told."

    def is_over(self) -> bool:
        """Look twice a second."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return False
        self._looked, past_s = now, now - self._began
        if not self.keys_s and expiring_users.expired(self._stack.store) >= self._wanted:
            self.keys_s = past_s
        if not self.told_s and not expiring_users.subscriptions(self._stack.store):
            self.told_s = past_s
        assert past_s < _LONGEST_S, f"{expiring_users.subscriptions(self._stack.store)} not told yet"
        return bool(self.keys_s and self.told_s) and past_s > _SHORTEST_S


def _watch(stack: Stack, folder: Path, users: int, wave: int, is_over: Callable[[], bool]) -> _Seen:
    """Push steadily until it is over, and ask Redis all the while."""
    refs: list[str] = []
    with Watched(stack, folder) as watched:
        due = time.monotonic()
        while not is_over():
            user = len(refs) * _STRIDE % users
            message_push.fill(stack, [user], wave=wave)
            refs.append(push_ref("trusted", f"{user}/{wave}"))
            due += _EVERY_S
            time.sleep(max(0.0, due - time.monotonic()))
    stack.parts["sip"].wait_until(lambda: outbox.depth(stack.store).all == 0, 120, "all pushes delivered")
    return _Seen(watched.pings, _percentile([_took_ms(stack, ref) for ref in refs], 0.99))


def _took_ms(stack: Stack, ref: str) -> float:
    known = stack.known(ref)
    return known.results[0].at_ms - known.push.accepted_ms


def _percentile(values: list[float], part: float) -> float:
    return sorted(values)[int((len(values) - 1) * part)]
