"""
How many requests a sender has in flight, without a lock.

The sender counts what it sent. Each completer counts, in a shared table under a name that only it writes,
what has ended; the sender reads those names once for each batch.
"""

from __future__ import annotations

import KSR

_TABLE = "window"


class Window:
    """The window of one sender process."""

    def __init__(self, sender: int, size: int, longest_s: float, kind: str = "") -> None:
        self._name = _name(sender, kind)
        self._size = size
        self._longest_s = longest_s
        self._sent = 0
        self._ended_seen = 0
        self._moved_at = 0.0

    def free(self, now: float) -> int:
        """
        Return how many more requests may be sent.

        Every transaction ends after a bounded time. A window that stays full for longer has lost count and
        starts again, rather than stay shut for ever.
        """
        ended = ended_of(self._name)
        if ended != self._ended_seen or self._sent == ended:
            self._ended_seen, self._moved_at = ended, now
        elif now - self._moved_at > self._longest_s:
            self._sent, self._moved_at = ended, now
        return self._size - (self._sent - ended)

    def sent(self, number: int = 1) -> None:
        """Note that requests were sent."""
        self._sent += number

    @property
    def in_flight(self) -> int:
        """Requests without a final answer, as of the last look."""
        return self._sent - self._ended_seen


def _name(sender: int, kind: str) -> str:
    return f"ended{kind}:{sender}"


def ended_of(name: str) -> int:
    """Return a shared count."""
    value = KSR.htable.sht_get(_TABLE, name)
    return value if isinstance(value, int) else 0


def add_ended(sender: int, number: int, kind: str = "") -> None:
    """Tell a sender that requests of its own have ended; for each kind only one completer process does so."""
    name = _name(sender, kind)
    KSR.htable.sht_seti(_TABLE, name, ended_of(name) + number)
