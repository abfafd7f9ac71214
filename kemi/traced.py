"""
Which requests of a sender belong to pushes that are traced.

The tracer process says in shared memory what is wanted; a sender looks there once for each batch. The Call-ID
of what is traced goes into another shared table, by which Kamailio itself knows every packet of it
(event_route[siptrace:msg] in kamailio.cfg). While nothing is traced a batch costs one look.
"""

from __future__ import annotations

import json
from typing import Final

import KSR

from omapush import clock
from omapush.push.tracing import Switches

_TABLE: Final = "tracing"
_CHANGES: Final = "changes"
_SWITCHES: Final = "switches"
_CALLS: Final = "traced"


class Marks:
    """What one sender process knows of it."""

    def __init__(self) -> None:
        self._changes: int | str | None = None
        self._switches = Switches()
        self._most_per_s = 0
        self._begun = 0
        self._second = 0

    def look(self) -> None:
        """See whether something else is wanted now."""
        changes = KSR.htable.sht_get(_TABLE, _CHANGES)
        if changes == self._changes:
            return
        self._changes = changes
        text = KSR.htable.sht_get(_TABLE, _SWITCHES)
        if isinstance(text, str):
            self._most_per_s, self._switches = _read(text)

    def mark(self, call_id: str, ref: str, recipient: int, aor: str, lifetime_s: int) -> None:
        """Have all packets of a call kept for so long, when the delivery that it is for is traced."""
        if self._switches.is_on and (self._switches.names(ref, aor) or self._is_sampled(ref)):
            KSR.htable.sht_setxs(_CALLS, call_id, f"{ref}.{recipient}", lifetime_s)

    def _is_sampled(self, ref: str) -> bool:
        if not self._switches.samples(ref):
            return False
        second = int(clock.monotonic())
        if second != self._second:
            self._second, self._begun = second, 0
        self._begun += 1
        return self._begun <= self._most_per_s


marks = Marks()
"Of this process."


def publish(switches: Switches, most_per_s: int) -> None:
    """Tell all senders what is wanted; only the tracer process does."""
    wanted = most_per_s, switches.share, sorted(switches.pushes), sorted(switches.users)
    KSR.htable.sht_sets(_TABLE, _SWITCHES, json.dumps(wanted))
    changes = KSR.htable.sht_get(_TABLE, _CHANGES)
    KSR.htable.sht_seti(_TABLE, _CHANGES, changes + 1 if isinstance(changes, int) else 1)


def _read(text: str) -> tuple[int, Switches]:
    most_per_s, share, pushes, users = json.loads(text)
    return most_per_s, Switches(share, frozenset(pushes), frozenset(users))
