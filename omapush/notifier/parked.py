"""
Results that are lent to us and whose host has as many under way as it may: only their names are kept.

Without them what a host has no room for would come back when its lease ends, however soon the host is done
with the others: an initiator that was away for an hour would be told nothing most of the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

_MOST: Final = 65_536
"Names of all hosts; what is more comes back by itself when its lease ends."


class Lent(NamedTuple):
    """A result of which we know that it is ours for a while."""

    member: str
    until_ms: int


class Parked:
    """By host, in the order in which they were borrowed."""

    def __init__(self) -> None:
        self._of_host: dict[str, deque[Lent]] = {}
        self._number = 0

    def put(self, host: str, lent: Lent) -> None:
        """Keep one, if there is room."""
        if self._number < _MOST:
            self._of_host.setdefault(host, deque()).append(lent)
            self._number += 1

    def take(self, room_of: Callable[[str], int], most: int, *, lasting_ms: int) -> list[Lent]:
        """
        Take up to `most` out whose hosts have room (`room_of`), one of each host in turn.

        Those that are not ours for longer than until `lasting_ms` are forgotten.
        """
        taken: list[Lent] = []
        turns = deque((host, room_of(host)) for host in self._of_host)
        while turns and len(taken) < most:
            host, room = turns.popleft()
            if room > 0 and (lent := self._next(host, lasting_ms)) is not None:
                taken.append(lent)
                turns.append((host, room - 1))
        return taken

    def _next(self, host: str, lasting_ms: int) -> Lent | None:
        waiting = self._of_host[host]
        while waiting:
            lent = waiting.popleft()
            self._number -= 1
            if lent.until_ms > lasting_ms:
                return lent
        del self._of_host[host]
        return None
