"""
How many requests a sender has in flight, in all and to each next hop, without a lock.

The sender counts what it sent. The one completer process counts, in a shared table, what has ended; the
sender reads those counts once for each batch. A next hop has a window of its own, smaller than the whole, so
that an S-CSCF that is silent cannot take the place of those that answer.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2s

import KSR

from omapush import clock
from omapush.protocol.sip_uri import host_and_port

_TABLE = "window"
_BUSY_WAIT_MS = 100
"Wait for a hop that is full but answers."
_SILENT_WAIT_MS = 5_000
"Wait for a hop that is full and silent: its transactions end only after half a minute."
_SILENT_S = 1.0
_TRY_OTHERS_S = 0.05
_OTHERS = 16
"Deliveries taken while the only hop in use is full."


@lru_cache(maxsize=1024)
def hop_of(next_hop: str) -> str:
    """
    Return the short name under which a next hop is counted; two hops may share one.

    Only its address counts: the subscribers behind one S-CSCF, or its several users' parts, are one hop.
    """
    return blake2s(host_and_port(next_hop).encode(), digest_size=2).hexdigest()


class Count:
    """Requests of one kind, under a name of its own: sent here, ended in another process."""

    def __init__(self, name: str, size: int, longest_s: float) -> None:
        self._name = name
        self._size = size
        self._longest_s = longest_s
        self._sent = self._ended = _ended(name)
        self._moved_at = clock.monotonic()

    def resize(self, size: int, longest_s: float) -> None:
        """Let so many be in flight from now on."""
        self._size, self._longest_s = size, longest_s

    def look(self, now: float) -> None:
        """
        Read how many have ended.

        Every transaction ends after a bounded time. When nothing has ended for longer though something is
        in flight, the count has lost it: it starts again, rather than stay shut for ever.
        """
        ended = _ended(self._name)
        if ended != self._ended or self._sent <= ended:
            self._ended, self._moved_at = ended, now
        elif now - self._moved_at > self._longest_s:
            self._sent, self._moved_at = ended, now

    def sent(self, number: int = 1) -> None:
        """So many more are in flight."""
        self._sent += number

    def is_moving(self, now: float) -> bool:
        """Tell whether something has ended a moment ago."""
        return now - self._moved_at < _SILENT_S

    def share(self, shards: int, most: int) -> int:
        """Return how many may begin now in each of so many shards, `most` at most; 0 for no shards."""
        if not shards:
            return 0
        self.look(clock.monotonic())
        return max(0, min(most, self.free // shards))

    @property
    def in_flight(self) -> int:
        """Requests without a final answer, as of the last look."""
        in_flight = self._sent - self._ended
        return in_flight if in_flight > 0 else 0

    @property
    def free(self) -> int:
        """How many more may be sent."""
        return self._size - self.in_flight


class Window:
    """The window of one sender process."""

    def __init__(self, sender: int, size: int = 1, hop_size: int = 1, longest_s: float = 0.0) -> None:
        self._sender = sender
        self._hop_size = hop_size
        self._longest_s = longest_s
        self._all = Count(f"{sender}", size, longest_s)
        self._hops: dict[str, Count] = {}
        self._tried_others_at = 0.0

    def resize(self, size: int, hop_size: int, longest_s: float) -> None:
        """Let so many be in flight from now on, in all and to each next hop; `longest_s` as for a count."""
        self._hop_size, self._longest_s = hop_size, longest_s
        self._all.resize(size, longest_s)
        for count in self._hops.values():
            count.resize(hop_size, longest_s)

    def free(self, now: float) -> int:
        """
        Return how many deliveries are worth taking.

        Most cores have one S-CSCF: what is taken beyond its room would only be put off again. So while one
        hop alone is in use, its room counts; when it has none, a few are still tried now and then, for they
        may be for another.
        """
        self._all.look(now)
        for hop in [hop for hop, count in self._hops.items() if self._is_idle(count, now)]:
            del self._hops[hop]
        if len(self._hops) > 1:
            return self._all.free
        room = next((count.free for count in self._hops.values()), self._hop_size)
        if room <= 0 and now - self._tried_others_at > _TRY_OTHERS_S:
            self._tried_others_at = now
            return min(self._all.free, _OTHERS)
        return min(self._all.free, max(room, 0))

    @staticmethod
    def _is_idle(count: Count, now: float) -> bool:
        count.look(now)
        return count.in_flight == 0

    def has_room(self, hop: str) -> bool:
        """Tell whether the whole window of a next hop has room."""
        count = self._hops.get(hop)
        return count is None or count.in_flight < self._hop_size

    def wait_ms(self, hop: str, now: float, size: int) -> int:
        """
        Return how long a request for a next hop has to wait for room there; 0 when it may go now.

        `size`: how many the hop may have now, at most its whole window.
        """
        count = self._hops.get(hop)
        if count is None or count.in_flight < size:
            return 0
        return _BUSY_WAIT_MS if count.is_moving(now) else _SILENT_WAIT_MS

    def sent(self, hop: str, number: int = 1) -> None:
        """Note that a request is sent; -1: it could not be."""
        self._all.sent(number)
        if hop not in self._hops:
            self._hops[hop] = Count(f"{self._sender}:{hop}", self._hop_size, self._longest_s)
        self._hops[hop].sent(number)

    @property
    def hop_size(self) -> int:
        """How many may be in flight to one next hop."""
        return self._hop_size

    @property
    def in_flight(self) -> int:
        """Requests without a final answer, as of the last look."""
        return self._all.in_flight


def _ended(name: str) -> int:
    value = KSR.htable.sht_get(_TABLE, name)
    return value if isinstance(value, int) else 0


def add_ended(name: str, number: int) -> None:
    """Tell a counter that requests of its own have ended; for each name only one process does so."""
    KSR.htable.sht_seti(_TABLE, name, _ended(name) + number)


def add_ended_to(sender: int, hop: str, number: int) -> None:
    """Tell a sender's window the same, in all and for the next hop."""
    add_ended(f"{sender}", number)
    add_ended(f"{sender}:{hop}", number)
