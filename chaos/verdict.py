"""What is true afterwards: every accepted push has one final state, and its provider was told."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from omapush import clock
from omapush.push.values import push_ref
from omapush.store import books, outbox, owed, pushes
from tests.fakes.initiator import Notification
from tests.harness.stack import Stack
from tests.harness.wait import wait_until


class Devices(Protocol):
    """Who answers for devices."""

    @property
    def reached(self) -> Counter[str]:
        """Reference of a push -> MESSAGEs that got 200; what Kamailio repeats by itself counts once."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a run; `faultless` when nothing is missing."""

    accepted: int
    states: Counter[str]
    missing: list[str] = field(default_factory=list)
    "Accepted, and the store knows nothing of them, or no final state."
    untold: list[str] = field(default_factory=list)
    "Final, and neither told to the provider nor owed to it."
    told_otherwise: list[str] = field(default_factory=list)
    "What the provider was told is not what is stored."
    unbalanced: list[str] = field(default_factory=list)
    "What `omapush books` finds."
    repeated: int = 0
    "MESSAGEs that reached a device once more."
    told_again: int = 0

    @property
    def faultless(self) -> bool:
        """Tell whether every promise was kept; repeats are allowed after a crash, and counted."""
        return self.broken == 0

    @property
    def broken(self) -> int:
        """How many promises were not kept."""
        return sum(map(len, (self.missing, self.untold, self.told_otherwise, self.unbalanced)))


def settle(stack: Stack, deadline_s: float) -> None:
    """Return when nothing waits to be sent, handed over or told."""

    def is_quiet() -> bool:
        nothing_waits = outbox.depth(stack.store).all == 0 and owed.count(stack.store) == 0
        return nothing_waits and not pushes.not_handed_over(stack.store, 2**53)

    wait_until(is_quiet, deadline_s, lambda: f"the end: {outbox.depth(stack.store)}\n{stack.logs()}")


def judge(stack: Stack, devices: Devices, accepted: Sequence[str], told: Sequence[Notification]) -> Verdict:
    """Compare what providers were told with what the store knows, and look at the books."""
    taken = [one for one in told if one.answered == 202]
    heard = {one.push_id: one for one in taken}
    states: Counter[str] = Counter()
    missing, untold, otherwise = [], [], []
    for push_id in accepted:
        known = pushes.read(stack.store, push_ref("trusted", push_id))
        if known is None or known.results[0].state == "pending":
            missing.append(push_id)
            continue
        result = known.results[0]
        states[result.state] += 1
        notification = heard.get(push_id)
        if notification is None:
            untold.append(push_id)
        elif (notification.message_state, notification.code) != (result.state, result.code):
            otherwise.append(f"{push_id}: told {notification.message_state} {notification.code}, is {result}")
    reached = devices.reached
    return Verdict(
        accepted=len(accepted),
        states=states,
        missing=missing,
        untold=untold,
        told_otherwise=otherwise,
        unbalanced=unbalanced(stack),
        repeated=reached.total() - len(reached),
        told_again=len(taken) - len(heard),
    )


def unbalanced(stack: Stack) -> list[str]:
    """Return what `omapush books` finds wrong."""
    found = books.balance(
        stack.store,
        from_ms=0,
        to_ms=clock.now_ms() + 1,
        forgotten_before_ms=lambda: clock.now_ms() - stack.config.delivery.retention_s * 1000,
        rest=lambda: time.sleep(0.2),
    )
    return [] if found.balance else [f"{found}"]
