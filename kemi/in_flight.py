"""
Requests in flight, counted without a lock: a sender counts what it sent, one completer what has ended.

The completer adds to counts in a table of shared memory, which the sender reads once for each batch.

A window bounds the load of those who pass a request on, and devices have nothing to do with that: one that
sleeps takes seconds to be paged, and for one that is out of coverage nobody answers at all (RFC 4320 4.2), so
that its request is in flight until timer F of RFC 3261 ends it after 32 s. A few such devices in a hundred
would fill any window. So what has had no answer for half a second to a second is counted apart: as long as
others at the same place are answered, it does not count against the window, but against an allowance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import KSR

from omapush import clock

_TABLE: Final = "window"
_RATED_S: Final = 0.5
"How long it is counted how many end."
_SLOT_MS: Final = 500
"What was sent in this slot of time or the one before is young: for half a second to a second."
_SLOTS: Final = 4
"Counts that are kept; one is used again after so many slots, when nothing is added to it any more."
LATE: Final = -1
"In place of a slot, of an answer to a request that is not young any more, or may not be."
LOST: Final = -2
"The same of a request that nobody answered."
_MOVING_S: Final = 1.0
"After the end of a request."
_SILENT_S: Final = 2.0
"Without any answer to what was sent meanwhile."
_AVOIDED_S: Final = 4.0
"The same, when there is another place; within that time UDP repeats a request three times (RFC 3261 T1)."
_SEVERAL: Final = 3
"One or two may be to devices that are being paged."
_PROBES: Final = 4
"Young requests that are in flight at most when a place that answered before does not do so now."


def end_of(sent_ms: int, now_ms: int, *, is_answered: bool) -> int:
    """
    In a completer: return what `add_ended` has to be told of one request.

    `is_answered`: by the other end; not by our own timer, and not because it could not be sent.
    """
    if not is_answered:
        return LOST
    slot = _slot_of(sent_ms)
    return slot if 0 <= _slot_of(now_ms) - slot <= 1 else LATE


def add_ended(name: str, numbers: Mapping[int, int]) -> None:
    """Tell a count how many of its requests have ended, by `end_of`; for each name one process does so."""
    # The sender reads the total first: it must never find one that is lost in it that is not among the lost.
    for end, number in numbers.items():
        if end != LATE:
            _add(_lost_name(name) if end == LOST else _slot_name(name, end), number)
    _add(name, sum(numbers.values()))


def _add(name: str, number: int) -> None:
    KSR.htable.sht_seti(_TABLE, name, _read(name) + number)


def _read(name: str) -> int:
    value = KSR.htable.sht_get(_TABLE, name)
    return value if isinstance(value, int) else 0


def _slot_of(at_ms: int) -> int:
    return at_ms // _SLOT_MS


def _lost_name(name: str) -> str:
    return f"{name}/lost"


def _slot_name(name: str, slot: int) -> str:
    return f"{name}/{slot % _SLOTS}"


class _Slot:
    """What was sent in one slot of time, and what of it is answered."""

    def __init__(self, name: str, slot: int) -> None:
        self.number = slot
        self.sent = 0
        self._name = _slot_name(name, slot)
        self._before = _read(self._name)
        self._answered = 0

    def look(self) -> None:
        """See what is answered."""
        answered = _read(self._name)
        if answered < self._before:  # forgotten meanwhile
            self._before = 0
        self._answered = answered - self._before

    @property
    def unanswered(self) -> int:
        """How many have no answer."""
        return max(self.sent - self._answered, 0)


class Count:
    """Requests of one kind, under a name of its own: sent here, ended in another process."""

    def __init__(self, name: str, size: int, longest_s: float, allowance: int = 0) -> None:
        """As `resize`; `name` is what `add_ended` is told."""
        self._name = name
        self._sent = self._ended = _read(name)
        self._answered = self._ended - _read(_lost_name(name))
        now = clock.monotonic()
        self._looked_at = self._moved_at = now
        self._answered_at = -math.inf
        self._asked_at = 0.0
        "When the first was sent after the last answer; 0: none was."
        self._rated_at, self._rated = now, self._ended
        self.ended_per_s = math.inf
        "How many ended each second of late; infinite before that can be told."
        self._slot = self._slot_before = _Slot(name, _slot_of(clock.now_ms()))
        self.resize(size, longest_s, allowance)

    def resize(self, size: int, longest_s: float, allowance: int = 0) -> None:
        """
        Let `size` be in flight from now on, for `longest_s` seconds each at most.

        `allowance`: how many more, which are not young any more while others are answered.
        """
        self._size, self._longest_s, self._allowance = size, longest_s, allowance
        self._free = self._room(self._looked_at)

    def look(self, now: float) -> None:
        """
        Read how many have ended.

        Every transaction ends after a bounded time. When nothing has ended for longer though something is
        in flight, the count has lost it: it starts again, rather than stay shut for ever.
        """
        self._looked_at = now
        ended = _read(self._name)
        if ended < self._ended:  # Kamailio forgets what has counted nothing for long; it counts from 0 again
            self._sent -= self._ended
            self._ended = self._answered = self._rated = 0
        if ended != self._ended or self._sent <= ended:
            self._ended, self._moved_at = ended, now
        elif now - self._moved_at > self._longest_s:
            self._sent, self._moved_at = ended, now
        if now - self._rated_at >= _RATED_S:
            self.ended_per_s = (ended - self._rated) / (now - self._rated_at)
            self._rated_at, self._rated = now, ended
        answered = ended - _read(_lost_name(self._name))
        if answered > self._answered:
            self._answered, self._answered_at, self._asked_at = answered, now, 0.0
        self._look_at_slots()
        self._free = self._room(now)

    def _look_at_slots(self) -> None:
        number = _slot_of(clock.now_ms())
        if number != self._slot.number:
            is_next = number == self._slot.number + 1
            self._slot_before = self._slot if is_next else _Slot(self._name, number - 1)
            self._slot = _Slot(self._name, number)
        self._slot_before.look()
        self._slot.look()

    def _room(self, now: float) -> int:
        in_flight = self.in_flight
        if not self._allowance or now - self._answered_at >= self._longest_s:
            return self._size - in_flight
        young = min(self._young, in_flight)
        if self._asked_at and now - self._asked_at >= _SILENT_S:
            return max(self._size - in_flight, min(_PROBES, self._size) - young)
        return self._size - (in_flight - min(in_flight - young, self._allowance))

    @property
    def _young(self) -> int:
        before = self._slot_before.unanswered if self._slot_before is not self._slot else 0
        return before + self._slot.unanswered

    def sent(self, number: int = 1) -> None:
        """So many more are in flight."""
        self._sent += number
        self._slot.sent += number
        self._free -= number
        if not self._asked_at:
            self._asked_at = self._looked_at

    def is_moving(self, now: float) -> bool:
        """Tell whether something has ended a moment ago."""
        return now - self._moved_at < _MOVING_S

    @property
    def is_answering(self) -> bool:
        """Something was answered of late, and what was sent since then is not old; as of the last look."""
        now = self._looked_at
        is_waiting = bool(self._asked_at) and now - self._asked_at >= _SILENT_S
        return now - self._answered_at < self._longest_s and not is_waiting

    @property
    def is_silent(self) -> bool:
        """Nothing was answered for some seconds, of several that were sent; as of the last look."""
        is_over = bool(self._asked_at) and self._looked_at - self._asked_at >= _AVOIDED_S
        return is_over and self.in_flight >= _SEVERAL

    @property
    def in_flight(self) -> int:
        """Requests without a final answer, as of the last look."""
        in_flight = self._sent - self._ended
        return in_flight if in_flight > 0 else 0

    @property
    def free(self) -> int:
        """How many more may be sent, as of the last look."""
        return self._free

    def has_room(self, size: int) -> bool:
        """Tell whether one more may be sent when only `size` may be in flight, at most the whole size."""
        return self._free > self._size - size
