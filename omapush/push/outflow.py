"""
How much is let in while what was accepted waits to be sent: no more than leaves. Pure.

The outbox is there to take what comes at once, or while a next hop is away, so a long wait alone is no reason
to refuse anything. It is when more goes on coming than leaves: then each push that is taken waits longer than
the one before, and storing it takes from sending it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush.push.admission import LEAST

_OF_WHAT_LEAVES: Final = 0.9
"So much is accepted, while deliveries wait longer than they may: the queue becomes shorter."
_LESS: Final = 0.5
_MORE: Final = 1.25
"Bounds of one step; looks are half a second apart."
_MUCH_MORE: Final = 2.0
"The same while next to nothing waits: the load has become less."


class Outflow(NamedTuple):
    """What is let in now, for the sake of what waits to be sent."""

    admitted: float = 1.0
    "Part of what arrives."
    wait_s: float = 0.0
    "How long what becomes ready now will wait, at the rate at which deliveries end."


class Seen(NamedTuple):
    """One look at all deliveries of all nodes."""

    ready: int
    "Those that could leave."
    accepted: int
    "So many came since the look before."
    ended: int
    "So many ended since then."
    seconds: float
    "Since then."


def looked(before: Outflow, seen: Seen, target_s: float) -> Outflow:
    """
    Return what follows from a look; deliveries may wait `target_s` without any consequence.

    Where nothing ends, something is out of order that no refusal mends, and all is let in.
    """
    if seen.ended <= 0:
        return Outflow()
    wait_s = seen.ready / seen.ended * seen.seconds
    if wait_s <= target_s:
        more = _MORE if wait_s > target_s / 2 else _MUCH_MORE
        return Outflow(min(before.admitted * more, 1.0), wait_s)
    step = _OF_WHAT_LEAVES * seen.ended / max(seen.accepted, 1)
    return Outflow(max(LEAST, min(before.admitted * max(_LESS, min(step, _MORE)), 1.0)), wait_s)
